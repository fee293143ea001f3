//! What is to be looked at, and who does it. Pure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use linux::mountinfo::{Mount, MountTable};
use linux::projectquota::ProjectId;

use super::slots::Busy;

/// What is asked about a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum How {
    /// How full its file system is.
    Full,
    /// That, and what lies below it.
    Below,
    /// The same, of which the file system keeps count as this project.
    Counted(ProjectId),
}

/// One question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ask {
    pub(crate) path: PathBuf,
    pub(crate) how: How,
    /// Whether the answer takes no time: the file system is one in memory, or on a disk.
    pub(crate) quick: bool,
    /// An answer that is younger will do.
    pub(crate) max_age: Duration,
}

/// Types of file systems on a disk.
const DISKS: [&str; 7] = ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs"];
/// Types of file systems in memory, or made of others.
const OTHERS: [&str; 5] = ["overlay", "tmpfs", "ramfs", "hugetlbfs", "devtmpfs"];

fn is_one_of(kinds: &[&str], mount: &Mount) -> bool {
    mount.fs_type.to_str().is_some_and(|kind| kinds.contains(&kind))
}

/// Whether the file system answers without asking another machine.
fn is_local(mount: &Mount) -> bool {
    is_one_of(&DISKS, mount) || is_one_of(&OTHERS, mount)
}

/// How old an answer may be that costs nothing: what was found for somebody who asked at the same time.
const FRESH: Duration = Duration::from_secs(1);

/// The question how full the file system is that holds `path`.
pub(crate) fn full(path: &Path, mounts: &MountTable) -> Ask {
    let quick = mounts.holding(path).is_some_and(is_local);
    Ask { path: path.to_owned(), how: How::Full, quick, max_age: FRESH }
}

/// The question about a volume: one that is a file system of its own is measured by that; what is a directory among
/// others is counted as its `project`, or has to be looked through, once in `period`.
pub(crate) fn volume(path: &Path, mounts: &MountTable, project: Option<ProjectId>, period: Duration) -> Ask {
    let slow = |how| Ask { path: path.to_owned(), how, quick: false, max_age: period };
    match mounts.at(path) {
        Some(mount) if is_local(mount) => full(path, mounts),
        Some(_) => slow(How::Full),
        None => slow(project.map_or(How::Below, How::Counted)),
    }
}

/// The mounts that stand for a disk each: of those that show the same disk, the first that shows all of it.
pub(crate) fn on_device(mounts: &MountTable) -> Vec<&Mount> {
    let mut found: Vec<&Mount> = Vec::new();
    for mount in mounts.iter().filter(|mount| is_one_of(&DISKS, mount)) {
        match found.iter_mut().find(|known| known.source == mount.source) {
            None => found.push(mount),
            Some(known) if known.root != Path::new("/") && mount.root == Path::new("/") => *known = mount,
            Some(_) => {}
        }
    }
    found
}

/// Who looks at what.
pub(super) struct Plan {
    /// One thread for all of these.
    pub(super) quick: Vec<Busy>,
    /// One thread for each of these.
    pub(super) each: Vec<Busy>,
    /// One thread and one question for all of these.
    pub(super) counted: Vec<Busy>,
    /// A few threads for these, from first to last.
    pub(super) walks: Vec<Busy>,
}

/// Those that took long the last time come last, so that they hold up no other.
pub(super) fn group(due: Vec<Busy>) -> Plan {
    let mut plan = Plan { quick: Vec::new(), each: Vec::new(), counted: Vec::new(), walks: Vec::new() };
    for busy in due {
        let group = match (busy.ask.how, busy.ask.quick) {
            (How::Full, true) => &mut plan.quick,
            (How::Full, false) => &mut plan.each,
            (How::Counted(_), _) => &mut plan.counted,
            (How::Below, _) => &mut plan.walks,
        };
        group.push(busy);
    }
    plan.walks.sort_by_key(|busy| busy.took);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw
23 22 0:5 / /proc rw - proc proc rw
24 22 0:30 / /r/pods/u/volumes/e/mem rw - tmpfs tmpfs rw
25 22 0:31 / /r/pods/u/volumes/n/nfs rw - nfs4 server:/x rw
26 22 8:17 /part /r/pods/u/volumes/p/part rw - xfs /dev/sdb1 rw
27 22 8:17 / /data rw - xfs /dev/sdb1 rw
28 22 8:1 /etc /bind rw - ext4 /dev/sda1 rw
29 22 0:40 / /pool rw - zfs pool/a rw
30 22 0:41 / /dev/shm rw - tmpfs /dev/shm rw
";

    #[test]
    fn volumes() {
        let mounts = MountTable::parse(TABLE.as_bytes());
        let period = Duration::from_secs(60);
        let project = ProjectId(7);
        for (path, project, how, quick, max_age) in [
            ("/r/pods/u/volumes/e/mem", Some(project), How::Full, true, FRESH),
            ("/r/pods/u/volumes/n/nfs", None, How::Full, false, period),
            ("/r/pods/u/volumes/e/disk", None, How::Below, false, period),
            ("/r/pods/u/volumes/e/disk", Some(project), How::Counted(project), false, period),
        ] {
            let expected = Ask { path: path.into(), how, quick, max_age };
            assert_eq!(volume(Path::new(path), &mounts, project, period), expected);
        }
    }

    #[test]
    fn each_disk_once_where_all_of_it_is_seen() {
        let mounts = MountTable::parse(TABLE.as_bytes());
        let points: Vec<_> = on_device(&mounts).iter().map(|mount| mount.point.to_str().unwrap()).collect();
        assert_eq!(points, ["/", "/data", "/pool"]);
    }
}
