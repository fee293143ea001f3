//! `/etc/projects` and `/etc/projid` (xfs_quota(8)): which directory has which project, and what projects are called.
//! Others write there too: what is not understood stays as it is. Pure.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use linux::projectquota::ProjectId;

/// The first project that is given to a volume, as by other kubelets.
const FIRST: u32 = 1_048_577;

/// What is in the two files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Projects {
    /// `1048577:/a/directory`, a line for each directory.
    pub(super) directories: Vec<u8>,
    /// `volume1048577:1048577`, a line for each project.
    pub(super) names: Vec<u8>,
}

impl Projects {
    /// The project of `dir`, if it has one for itself.
    pub(super) fn of(&self, dir: &Path) -> Option<ProjectId> {
        let mut found = self.directories().filter(|(_, of)| *of == dir);
        let (id, _) = found.next()?;
        let alone = self.directories().filter(|(other, _)| *other == id).count() == 1;
        (alone && found.next().is_none()).then_some(id)
    }

    /// Every directory that has a project.
    pub(super) fn directories(&self) -> impl Iterator<Item = (ProjectId, &Path)> {
        lines(&self.directories).filter_map(directory)
    }

    /// The first project that is nobody's: it is in neither file, and not in `counted`.
    pub(super) fn free(&self, counted: &BTreeSet<ProjectId>) -> Option<ProjectId> {
        let mut taken = counted.clone();
        taken.extend(self.directories().map(|(id, _)| id));
        taken.extend(lines(&self.names).filter_map(name));
        (FIRST..=u32::MAX).map(ProjectId).find(|id| !taken.contains(id))
    }

    /// Gives `project` to `dir`, which has none. False if the file cannot say so.
    pub(super) fn add(&mut self, dir: &Path, project: ProjectId) -> bool {
        let dir = dir.as_os_str().as_bytes();
        if dir.contains(&b'\n') {
            return false;
        }
        let ProjectId(id) = project;
        append(&mut self.directories, &[format!("{id}:").as_bytes(), dir].concat());
        if !lines(&self.names).any(|line| name(line) == Some(project)) {
            append(&mut self.names, format!("volume{id}:{id}").as_bytes());
        }
        true
    }

    /// Takes its projects from `dir`, and their names from those that nobody else has.
    pub(super) fn remove(&mut self, dir: &Path) -> Vec<ProjectId> {
        let had: Vec<_> = self.directories().filter(|(_, of)| *of == dir).map(|(id, _)| id).collect();
        retain(&mut self.directories, |line| directory(line).is_none_or(|(_, of)| of != dir));
        let left: BTreeSet<_> = self.directories().map(|(id, _)| id).collect();
        let unused: Vec<_> = had.into_iter().filter(|id| !left.contains(id)).collect();
        retain(&mut self.names, |line| name(line).is_none_or(|id| !unused.contains(&id)));
        unused
    }
}

/// The directories of `pods`, a directory of pods, that can be an emptyDir: `<uid>/volumes/<plugin>/<name>`.
pub(super) fn volumes_in(projects: &Projects, pods: &Path, plugin: &str) -> Vec<(ProjectId, PathBuf)> {
    let is_one = |dir: &Path| {
        let rest = dir.strip_prefix(pods).ok();
        let parts: Vec<_> = rest.into_iter().flat_map(Path::components).map(Component::as_os_str).collect();
        let plain = parts.iter().all(|part| *part != ".." && *part != ".");
        plain && matches!(parts[..], [_, volumes, of, _] if volumes == "volumes" && of == plugin)
    };
    let found = projects.directories().filter(|(_, dir)| is_one(dir));
    found.map(|(id, dir)| (id, dir.to_owned())).collect()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn directory(line: &[u8]) -> Option<(ProjectId, &Path)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some((number(&line[..colon])?, Path::new(std::ffi::OsStr::from_bytes(&line[colon + 1..]))))
}

fn name(line: &[u8]) -> Option<ProjectId> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    if colon == 0 || line[0] == b'#' { None } else { number(&line[colon + 1..]) }
}

fn number(digits: &[u8]) -> Option<ProjectId> {
    let all = digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| all)?.parse().ok().map(ProjectId)
}

/// Adds a line, also after one that its writer did not end.
fn append(text: &mut Vec<u8>, line: &[u8]) {
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    text.extend(line);
    text.push(b'\n');
}

/// Takes out the lines that are not to be kept; all others stay byte by byte.
fn retain(text: &mut Vec<u8>, keep: impl Fn(&[u8]) -> bool) {
    let kept = text.split_inclusive(|byte| *byte == b'\n');
    *text = kept.filter(|line| keep(line.strip_suffix(b"\n").unwrap_or(line))).flatten().copied().collect();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn projects(directories: &str, names: &str) -> Projects {
        Projects { directories: directories.into(), names: names.into() }
    }

    fn ids(ids: &[u32]) -> BTreeSet<ProjectId> {
        ids.iter().copied().map(ProjectId).collect()
    }

    #[test]
    fn one_directory_has_one_project() {
        let found =
            projects("# mine\n7:/data\n8:/a\n8:/b\n9:/c\n10:/c\nx:/d\n-1:/e\n99999999999:/f\n11:/g", "");
        for (dir, project) in [
            ("/data", Some(7)),
            ("/a", None),
            ("/c", None),
            ("/d", None),
            ("/f", None),
            ("/none", None),
            ("/g", Some(11)),
        ] {
            assert_eq!(found.of(Path::new(dir)), project.map(ProjectId), "{dir}");
        }
    }

    #[test]
    fn the_first_that_is_nobodys() {
        let taken = projects("1048577:/a\n", "x:1048578\n#y:1048579\nno number\n");
        for (counted, free) in [
            (&[][..], 1_048_579),
            (&[1_048_579, 1_048_580, 1_048_582], 1_048_581),
            (&[5, 1_048_580], 1_048_579),
        ] {
            assert_eq!(taken.free(&ids(counted)), Some(ProjectId(free)), "{counted:?}");
        }
        assert_eq!(Projects::default().free(&ids(&[])), Some(ProjectId(FIRST)));
    }

    #[test]
    fn what_others_wrote_stays() {
        let before = projects("# mine\n7:/data", "# mine\ndata:7");
        let mut now = before.clone();
        assert!(now.add(Path::new("/v/a b"), ProjectId(FIRST)));
        assert_eq!(
            now,
            projects("# mine\n7:/data\n1048577:/v/a b\n", "# mine\ndata:7\nvolume1048577:1048577\n")
        );
        assert_eq!(now.remove(Path::new("/v/a b")), [ProjectId(FIRST)]);
        assert_eq!(now, projects("# mine\n7:/data\n", "# mine\ndata:7\n"));
        assert_eq!(now.remove(Path::new("/v/a b")), []);
        assert!(!now.add(Path::new("/v/a\nb"), ProjectId(FIRST)), "a line cannot have it");
    }

    #[test]
    fn a_name_stays_while_another_directory_has_its_project() {
        let mut now = projects("8:/a\n8:/b\n", "both:8\n");
        assert_eq!(now.remove(Path::new("/a")), []);
        assert_eq!(now, projects("8:/b\n", "both:8\n"));
        assert_eq!(now.remove(Path::new("/b")), [ProjectId(8)]);
        assert_eq!(now, projects("", ""));
    }

    #[test]
    fn volumes_of_pods() {
        let text = "\
1:/r/pods/u/volumes/e/a
2:/r/pods/u/volumes/other/a
3:/r/pods/u/volumes/e
4:/r/pods/u/volumes/e/a/b
5:/r/pods/u/volumes/e/..
6:/r/pods/../volumes/e/a
7:/elsewhere/pods/u/volumes/e/a
8:/r/pods/v/volumes/e/b
";
        let found = volumes_in(&projects(text, ""), Path::new("/r/pods"), "e");
        assert_eq!(found.iter().map(|(id, _)| id.0).collect::<Vec<_>>(), [1, 8]);
    }

    proptest! {
        #[test]
        fn adding_and_removing_is_nothing(
            text in proptest::collection::vec(prop_oneof!["[0-9]{1,8}:/[a-c]{1,2}", "[#:a-z0-9]{0,6}"], 0..6),
        ) {
            let text = text.iter().map(|line| format!("{line}\n")).collect::<String>();
            let before = projects(&text, &text);
            let mut now = before.clone();
            let project = now.free(&ids(&[])).unwrap();
            prop_assert!(now.add(Path::new("/v"), project));
            prop_assert_eq!(now.of(Path::new("/v")), Some(project));
            prop_assert!(now.free(&ids(&[])).unwrap() != project);
            prop_assert_eq!(now.remove(Path::new("/v")), [project]);
            prop_assert_eq!(now, before);
        }
    }
}
