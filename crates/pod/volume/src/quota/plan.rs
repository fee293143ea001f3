//! What is to be done so that a volume is counted by its file system. Pure.

use std::collections::BTreeSet;

use linux::projectquota::ProjectId;

/// What is known of a volume's directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    /// The project that the directory is in.
    pub(super) is_in: Option<ProjectId>,
    /// The project that is noted for it and for nothing else.
    pub(super) noted: Option<ProjectId>,
    /// Whether nothing is in it.
    pub(super) is_empty: bool,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// It is counted as this project.
    Keep(ProjectId),
    /// It is to be put into the project that is noted.
    Put(ProjectId),
    /// It is to be put into a project that nobody has, which is noted first.
    New,
    /// It cannot be counted, and is looked through.
    Scan(&'static str),
}

/// What is to be done with a directory that is `seen`; the file system counts something as each project of `counted`.
///
/// A project is noted before the directory is put into it, so that after a crash nobody else gets it. What is in the
/// directory already would not be counted: it stays uncounted as a whole.
pub(super) fn step(seen: Seen, counted: &BTreeSet<ProjectId>) -> Step {
    match (seen.is_in, seen.noted) {
        (Some(is_in), Some(noted)) if is_in == noted => Step::Keep(noted),
        // Somebody counts all that is around it, and may bound it so.
        (Some(_), _) => Step::Scan("its directory is in a project of somebody else's"),
        (None, _) if !seen.is_empty => Step::Scan("its directory is not empty"),
        // What an earlier directory of that name held is not gone: a process has it open.
        (None, Some(noted)) if counted.contains(&noted) => Step::New,
        (None, Some(noted)) => Step::Put(noted),
        (None, None) => Step::New,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        const A: ProjectId = ProjectId(1_048_577);
        const B: ProjectId = ProjectId(42);
        let counted = |ids: &[ProjectId]| ids.iter().copied().collect::<BTreeSet<_>>();
        let seen = |is_in, noted, is_empty| Seen { is_in, noted, is_empty };
        let others = Step::Scan("its directory is in a project of somebody else's");
        let full = Step::Scan("its directory is not empty");
        for (what, seen, counted, expected) in [
            ("new", seen(None, None, true), counted(&[]), Step::New),
            ("noted, not put", seen(None, Some(A), true), counted(&[]), Step::Put(A)),
            ("noted for one before it", seen(None, Some(A), true), counted(&[A]), Step::New),
            ("noted and put", seen(Some(A), Some(A), true), counted(&[A]), Step::Keep(A)),
            ("in use", seen(Some(A), Some(A), false), counted(&[A]), Step::Keep(A)),
            ("in the node's project", seen(Some(B), None, true), counted(&[B]), others),
            ("the note is lost", seen(Some(A), None, false), counted(&[A]), others),
            ("another note", seen(Some(A), Some(B), true), counted(&[A]), others),
            ("written to before", seen(None, None, false), counted(&[]), full),
            ("written to before it was put", seen(None, Some(A), false), counted(&[]), full),
        ] {
            assert_eq!(step(seen, &counted), expected, "{what}");
        }
    }
}
