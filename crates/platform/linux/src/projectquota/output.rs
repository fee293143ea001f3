//! What xfs_quota(8) and lsattr(1) say. Pure.

use std::collections::BTreeMap;

use super::ProjectId;
use crate::diskuse::DiskUse;

/// Whether the answer to `state -p` says that projects are counted.
pub(super) fn is_counting(state: &[u8]) -> bool {
    lines(state).any(|line| line.trim() == "Accounting: ON")
}

/// The projects of an answer to `report -p -n -N -b -i`. Lines that are no projects are left out.
pub(super) fn report(report: &[u8]) -> BTreeMap<ProjectId, DiskUse> {
    lines(report).filter_map(|line| project(&line)).collect()
}

/// `#1048577 20 0 0 00 [--------] 3 0 0 00 [--------]`: for kilobytes and for inodes each, what is used, both limits, the
/// warnings and the time that is left, which may have a space in it.
fn project(line: &str) -> Option<(ProjectId, DiskUse)> {
    let (blocks, inodes) = line.trim().strip_prefix('#')?.split_once(']')?;
    let mut blocks = blocks.split_whitespace();
    let id = blocks.next()?.parse().ok()?;
    let kilobytes: u64 = blocks.next()?.parse().ok()?;
    let inodes = inodes.split_whitespace().next()?.parse().ok()?;
    Some((ProjectId(id), DiskUse { bytes: kilobytes.saturating_mul(1024), inodes }))
}

/// The answer to `lsattr -pd`, `1048577 -------------------P-- .`: the project, if it is one and what is made in the
/// directory inherits it. Nothing of an answer that is none.
pub(super) fn attributes(said: &[u8]) -> Option<Option<ProjectId>> {
    let line = lines(said).next()?;
    let mut fields = line.split_whitespace();
    let id: u32 = fields.next()?.parse().ok()?;
    let flags = fields.next()?;
    Some((id != 0 && flags.contains('P')).then_some(ProjectId(id)))
}

fn lines(text: &[u8]) -> impl Iterator<Item = String> {
    text.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whether_projects_are_counted() {
        let state = |accounting: &str| {
            format!(
                "Project quota state on /mnt (/dev/loop0)\n  Accounting: {accounting}\n  Enforcement: OFF\n  Inode: #11 (2 blocks, 2 extents)\n"
            )
        };
        assert!(is_counting(state("ON").as_bytes()));
        assert!(!is_counting(state("OFF").as_bytes()));
        assert!(!is_counting(b""));
    }

    #[test]
    fn reports() {
        let text = b"\
#0                  24          0          0     00 [--------]          6          0          0     00 [--------]
#1048577         10244 281474976710655 281474976710655     00 [--------]          3          0          0     00 [--------]
#1048578             8          4          0     00  [6 days]          1          0          0     00 [--------]
#1048579             8
#x 1 0 0 00 [--] 1 0 0 00 [--]

nonsense
";
        let found = report(text);
        let found: Vec<_> = found.into_iter().map(|(id, used)| (id.0, used.bytes, used.inodes)).collect();
        assert_eq!(found, [(0, 24 << 10, 6), (1_048_577, 10_244 << 10, 3), (1_048_578, 8 << 10, 1)]);
    }

    #[test]
    fn attributes_of_a_directory() {
        for (said, found) in [
            ("1048577 -------------------P-- .\n", Some(Some(ProjectId(1_048_577)))),
            ("    0 --------------e------- .\n", Some(None)),
            ("    7 --------------e------- .\n", Some(None)),
            ("    0 --------------e----P-- .\n", Some(None)),
            ("", None),
            ("4294967296 ---P .\n", None),
        ] {
            assert_eq!(attributes(said.as_bytes()), found, "{said}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (is_counting(&text), report(&text), attributes(&text));
        }
    }
}
