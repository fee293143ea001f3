//! How much pods have written to their logs, by looking: there are a few files for each container. Blocks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use linux::diskuse::{self, DiskUse};
use linux::fs::FileKind;
use types::PodUid;

use crate::reading::Reading;

/// Where a pod's files are.
pub(crate) struct LogPlace {
    uid: PodUid,
    directory: PathBuf,
    containers: Vec<String>,
    etc_hosts: PathBuf,
}

/// What a pod's files take. What could not be found out is absent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct LogUse {
    /// The logs of each container, by name.
    pub(crate) containers: HashMap<String, DiskUse>,
    /// Log files that are no container's; some runtimes write some for the sandbox.
    pub(crate) others: Option<DiskUse>,
    /// The hosts file, which is made for the pod.
    pub(crate) etc_hosts: Option<DiskUse>,
}

/// Where the files of all pods of a reading are.
pub(crate) fn places(reading: &Reading) -> Vec<LogPlace> {
    let place = |pod: &crate::reading::PodReading| LogPlace {
        uid: pod.view.observed.pod.uid.clone(),
        directory: pod.view.logs.clone(),
        containers: pod.containers().map(|(observed, _)| observed.name.to_string()).collect(),
        etc_hosts: pod.view.dir.join("etc-hosts"),
    };
    reading.pods.iter().map(place).collect()
}

/// Looks at all places.
pub(crate) fn measure(places: Vec<LogPlace>) -> HashMap<PodUid, LogUse> {
    let measure = |place: LogPlace| {
        let of = |name: String| Some((diskuse::of(&place.directory.join(&name)).ok()?, name));
        let containers = place.containers.into_iter().filter_map(of);
        let found = LogUse {
            containers: containers.map(|(used, name)| (name, used)).collect(),
            others: files_in(&place.directory),
            etc_hosts: diskuse::of(&place.etc_hosts).ok(),
        };
        (place.uid, found)
    };
    places.into_iter().map(measure).collect()
}

/// What the files in a directory take, without those in directories; none if the directory is not there.
fn files_in(directory: &Path) -> Option<DiskUse> {
    let mut sum = DiskUse::default();
    for entry in std::fs::read_dir(directory).ok()?.flatten() {
        let is_directory = FileKind::of_link(&entry.path()).is_ok_and(|kind| kind == FileKind::Directory);
        if !is_directory && let Ok(found) = diskuse::of(&entry.path()) {
            sum.bytes += found.bytes;
            sum.inodes += found.inodes;
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_pod() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("logs");
        for file in ["a/0.log", "a/0.log.1", "b/0.log", "sandbox.log"] {
            let path = directory.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let place = |directory: PathBuf| LogPlace {
            uid: "u".into(),
            directory,
            containers: vec!["a".to_owned(), "c".to_owned()],
            etc_hosts: dir.path().join("etc-hosts"),
        };
        let found = &measure(vec![place(directory)])[&PodUid::from("u")];
        assert_eq!(found.containers.keys().collect::<Vec<_>>(), ["a"], "what is there of those that run");
        assert_eq!(found.containers["a"].inodes, 3);
        assert_eq!((found.others.unwrap().inodes, found.etc_hosts), (1, None));
        let gone = measure(vec![place(dir.path().join("none"))]);
        assert_eq!(gone[&PodUid::from("u")], LogUse::default());
    }
}
