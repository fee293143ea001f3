//! Which cgroups the node has, and where they are mounted.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Where every distribution mounts cgroups.
pub const MOUNT_POINT: &str = "/sys/fs/cgroup";

/// Magic number of the cgroup v2 file system (linux/magic.h).
const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;

/// The version of cgroups that has the controllers. A node that mounts both ("hybrid") has them on v1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Version {
    /// One hierarchy per controller.
    V1,
    /// One hierarchy for all.
    V2,
}

impl Version {
    /// The version in use at `mount_point`, usually [`MOUNT_POINT`].
    ///
    /// # Errors
    /// If the file system there cannot be looked at.
    pub fn detect(mount_point: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statfs(mount_point)?;
        // The field's type differs between architectures.
        #[allow(clippy::unnecessary_cast, clippy::cast_possible_wrap)]
        let magic = stat.f_type as i64;
        Ok(if magic == CGROUP2_SUPER_MAGIC { Self::V2 } else { Self::V1 })
    }

    /// 1 or 2 (metric `kubelet_cgroup_version`).
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }
}

/// Controllers of cgroup v1 that pods get a cgroup in where the node has them, `systemd` (a hierarchy without
/// controller) included, and so is `unified`, the v2 hierarchy of a hybrid node: runc makes the pod's cgroup there too,
/// and takes away only the container's.
const V1_CONTROLLERS: [&str; 14] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "systemd",
    "unified",
];

/// Controllers of cgroup v1 without which no pod can be run.
pub(crate) const V1_REQUIRED: [&str; 4] = ["cpu", "cpuacct", "cpuset", "memory"];

/// Controllers of cgroup v2 that are passed down to pods where the node has them.
pub(crate) const V2_CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "hugetlb", "io", "memory", "pids"];

/// The mounted hierarchies: one on cgroup v2, on v1 one for each controller or group of controllers.
#[derive(Clone, Debug)]
pub struct Hierarchies {
    version: Version,
    /// By directory, what is controlled there. On v2 one entry, whose controllers are not listed.
    roots: BTreeMap<PathBuf, Vec<&'static str>>,
}

impl Hierarchies {
    /// The hierarchies below `mount_point` ([`MOUNT_POINT`], or a directory in tests).
    ///
    /// # Errors
    /// If the mount point or, on v1, its entries cannot be looked at.
    pub fn find(version: Version, mount_point: &Path) -> io::Result<Self> {
        let mut roots: BTreeMap<PathBuf, Vec<&'static str>> = BTreeMap::new();
        match version {
            Version::V2 => {
                roots.insert(mount_point.canonicalize()?, Vec::new());
            }
            Version::V1 => {
                for controller in V1_CONTROLLERS {
                    // `cpu` may be a link to `cpu,cpuacct`: one hierarchy under two names.
                    match mount_point.join(controller).canonicalize() {
                        Ok(root) => roots.entry(root).or_default().push(controller),
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(Self { version, roots })
    }

    /// The version they are of.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The mount points, each once.
    pub fn roots(&self) -> impl Iterator<Item = &Path> {
        self.roots.keys().map(PathBuf::as_path)
    }

    /// The mount point where `controller` is; on v2 the only one there is.
    #[must_use]
    pub fn root_of(&self, controller: &str) -> Option<&Path> {
        let has = |names: &[&str]| self.version == Version::V2 || names.contains(&controller);
        self.roots.iter().find(|(_, names)| has(names)).map(|(root, _)| root.as_path())
    }

    /// Required controllers of cgroup v1 that are not mounted. Always none on v2, where a controller that is missing
    /// shows when it is passed down.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        V1_REQUIRED.into_iter().filter(|controller| self.root_of(controller).is_none()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn co_mounted_controllers_are_one_hierarchy() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("cpu,cpuacct")).unwrap();
        for link in ["cpu", "cpuacct"] {
            std::os::unix::fs::symlink("cpu,cpuacct", dir.path().join(link)).unwrap();
        }
        std::fs::create_dir(dir.path().join("memory")).unwrap();
        let found = Hierarchies::find(Version::V1, dir.path()).unwrap();
        assert_eq!(found.roots().count(), 2);
        assert_eq!(found.root_of("cpu"), found.root_of("cpuacct"));
        assert_eq!(found.missing(), ["cpuset"]);
        assert_eq!(Version::detect(dir.path()).unwrap(), Version::V1);
    }

    #[test]
    fn the_host_has_a_version() {
        let version = Version::detect(Path::new(MOUNT_POINT)).unwrap();
        assert!(Hierarchies::find(version, Path::new(MOUNT_POINT)).unwrap().roots().count() > 0);
    }
}
