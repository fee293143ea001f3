//! Where the files of a pod are: the layout of `<root>/pods/<uid>`, which is the kubelet's.

use std::path::{Path, PathBuf};

use linux::PathError;
use types::PodUid;

/// Mode of a pod's own directories.
pub const DIR_MODE: u32 = 0o750;

/// Name of the emptyDir plugin, as in directory names.
pub(crate) const EMPTY_DIR: &str = "kubernetes.io~empty-dir";
/// Name of the downwardAPI plugin.
pub(crate) const DOWNWARD_API: &str = "kubernetes.io~downward-api";
/// Name of the configMap plugin.
pub(crate) const CONFIG_MAP: &str = "kubernetes.io~configmap";
/// Name of the secret plugin.
pub(crate) const SECRET: &str = "kubernetes.io~secret";
/// Name of the projected plugin.
pub(crate) const PROJECTED: &str = "kubernetes.io~projected";

/// A UID that cannot be the name of a directory.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the pod UID {0:?} cannot be the name of a directory: give the pod another metadata.uid, or none")]
pub struct UnusableUid(
    /// The UID.
    pub PodUid,
);

/// The paths of one pod. Names of volumes and containers are DNS labels by validation; they are not checked again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PodPaths {
    dir: PathBuf,
}

impl PodPaths {
    /// The paths of the pod `uid` under the root directory `root_dir`.
    ///
    /// # Errors
    /// If the UID could lead out of `root_dir`: a manifest can have anything there.
    pub fn new(root_dir: &Path, uid: &PodUid) -> Result<Self, UnusableUid> {
        let name = uid.as_str();
        if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) || name.len() > 255 {
            return Err(UnusableUid(uid.clone()));
        }
        Ok(Self { dir: pods_dir(root_dir).join(name) })
    }

    /// Makes the directories that every pod has: its own, `volumes` and `plugins`.
    ///
    /// # Errors
    /// If one cannot be made.
    pub fn create(&self) -> Result<(), PathError> {
        linux::fs::create_dir_all(&self.dir, DIR_MODE)?;
        linux::fs::create_dir(&self.volumes(), DIR_MODE)?;
        linux::fs::create_dir(&self.plugins(), DIR_MODE)?;
        Ok(())
    }

    /// The pod's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The hosts file of its containers.
    #[must_use]
    pub fn etc_hosts(&self) -> PathBuf {
        self.dir.join("etc-hosts")
    }

    /// Its range of user and group ids, when it has a user namespace.
    #[must_use]
    pub fn userns(&self) -> PathBuf {
        self.dir.join("userns")
    }

    /// Files of the container `name`.
    #[must_use]
    pub fn container(&self, name: &str) -> PathBuf {
        self.dir.join("containers").join(name)
    }

    /// The termination message of one run of the container `name`; `run` tells the runs apart (in the kubelet's layout
    /// a random number, written as 8 hexadecimal digits).
    #[must_use]
    pub fn termination_log(&self, name: &str, run: u32) -> PathBuf {
        self.container(name).join(format!("{run:08x}"))
    }

    /// Volumes that are directories.
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.dir.join("volumes")
    }

    /// Volumes that are block devices.
    #[must_use]
    pub fn volume_devices(&self) -> PathBuf {
        self.dir.join("volumeDevices")
    }

    /// What plugins note about volumes.
    #[must_use]
    pub fn plugins(&self) -> PathBuf {
        self.dir.join("plugins")
    }

    /// The directory of the volume `name` of a plugin; `plugin` as in directory names, such as
    /// `kubernetes.io~empty-dir`.
    #[must_use]
    pub fn volume(&self, plugin: &str, name: &str) -> PathBuf {
        self.volumes().join(plugin).join(name)
    }

    /// The mark of an emptyDir that was set up whole.
    #[must_use]
    pub fn ready_mark(&self, volume: &str) -> PathBuf {
        self.plugins().join(EMPTY_DIR).join(volume).join("ready")
    }

    /// Bind mounts of parts of volumes.
    #[must_use]
    pub fn subpaths(&self) -> PathBuf {
        self.dir.join("volume-subpaths")
    }

    /// The bind mount of the part of `volume` that the container's mount number `index` shows.
    #[must_use]
    pub fn subpath(&self, volume: &str, container: &str, index: usize) -> PathBuf {
        self.subpaths().join(volume).join(container).join(index.to_string())
    }
}

/// The directory that holds the pods' directories.
#[must_use]
pub fn pods_dir(root_dir: &Path) -> PathBuf {
    root_dir.join("pods")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout() {
        let paths = PodPaths::new(Path::new("/r"), &"u".into()).unwrap();
        for (path, expected) in [
            (paths.etc_hosts(), "/r/pods/u/etc-hosts"),
            (paths.termination_log("c", 0xab), "/r/pods/u/containers/c/000000ab"),
            (paths.volume(EMPTY_DIR, "v"), "/r/pods/u/volumes/kubernetes.io~empty-dir/v"),
            (paths.ready_mark("v"), "/r/pods/u/plugins/kubernetes.io~empty-dir/v/ready"),
            (paths.subpath("v", "c", 3), "/r/pods/u/volume-subpaths/v/c/3"),
        ] {
            assert_eq!(path, Path::new(expected));
        }
    }

    #[test]
    fn no_uid_leads_out_of_the_root() {
        for uid in ["", ".", "..", "a/b", "../x", "/etc", "a\0b", &"x".repeat(256)] {
            assert!(PodPaths::new(Path::new("/r"), &uid.into()).is_err(), "{uid}");
        }
    }
}
