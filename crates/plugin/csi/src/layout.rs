//! Where the files of CSI volumes are: the kubelet's layout, so that a node can be handed from one to the other.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use types::PodUid;
use volume::claim::VolumeMode;
use volume::{PodPaths, UnusableUid};

use crate::plan::Target;

/// Name of the plugin, as in directory names of pods.
pub(crate) const PLUGIN: &str = "kubernetes.io~csi";

/// Where volumes are that pods get as devices, beside the directories of drivers.
pub(crate) const DEVICES: &str = "volumeDevices";

/// The notes beside what is staged and published.
pub(crate) const NOTE: &str = "vol_data.json";

/// What a note is written to first. A crash may leave it.
pub(crate) const HALF_NOTE: &str = ".vol_data.json.new";

/// The name of a volume on the node: its driver, and the driver's name of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VolumeId {
    /// The driver's name.
    pub driver: String,
    /// The volume's handle.
    pub handle: String,
}

impl std::fmt::Display for VolumeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of CSI driver {}", self.handle, self.driver)
    }
}

/// The name of the plugin of a CSI driver's volumes, as metrics have it.
#[must_use]
pub fn qualified_name(driver: &str) -> String {
    format!("kubernetes.io/csi:{driver}")
}

impl VolumeId {
    /// The name of a volume in the Node's `volumesInUse` and `volumesAttached`.
    #[must_use]
    pub fn unique_name(&self) -> String {
        format!("kubernetes.io/csi/{}^{}", self.driver, self.handle)
    }

    /// The volume with this name in the Node's `volumesInUse`, if it is one of a CSI driver.
    #[must_use]
    pub fn of_unique_name(name: &str) -> Option<Self> {
        let (driver, handle) = name.strip_prefix("kubernetes.io/csi/")?.split_once('^')?;
        Some(Self { driver: driver.to_owned(), handle: handle.to_owned() })
    }

    /// The name of the VolumeAttachment of the volume to the node `node`.
    #[must_use]
    pub fn attachment(&self, node: &str) -> String {
        format!("csi-{}", sha256(&[&self.handle, &self.driver, node]))
    }

    /// The handle that an ephemeral volume of the pod `uid` has, by its name in the pod's spec.
    #[must_use]
    pub fn ephemeral_handle(uid: &PodUid, volume: &str) -> String {
        format!("csi-{}", sha256(&[uid.as_str(), volume]))
    }
}

/// A volume, and where it is staged.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Site {
    /// The volume.
    pub(crate) volume: VolumeId,
    /// The name of its PersistentVolume, if pods get it as a device: by that its directories are called then.
    pub(crate) device: Option<String>,
}

impl Site {
    /// Of the volume that is or may be published at `target`.
    pub(crate) fn of(volume: &VolumeId, target: &Target) -> Self {
        let device = (target.mode == VolumeMode::Block).then(|| target.spec_name.clone());
        Self { volume: volume.clone(), device }
    }
}

fn sha256(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The paths below a root directory.
#[derive(Clone, Debug)]
pub struct Layout {
    root_dir: PathBuf,
}

impl Layout {
    /// The paths below `root_dir`, such as `/var/lib/kubelet`.
    #[must_use]
    pub fn new(root_dir: PathBuf) -> Self {
        Self { root_dir }
    }

    /// The root directory.
    #[must_use]
    pub fn root_dir(&self) -> &Path {
        &self.root_dir
    }

    /// Where CSI volumes are staged: a directory per driver.
    pub(crate) fn staging_root(&self) -> PathBuf {
        self.root_dir.join("plugins/kubernetes.io/csi")
    }

    /// The directory of a volume's staging path and note.
    pub(crate) fn staging_dir(&self, volume: &VolumeId) -> PathBuf {
        self.staging_root().join(&volume.driver).join(sha256(&[&volume.handle]))
    }

    /// Where a volume is staged that pods get as a directory.
    #[must_use]
    pub fn staging_path(&self, volume: &VolumeId) -> PathBuf {
        staged_in(&self.staging_dir(volume))
    }

    /// Where a volume is staged.
    pub(crate) fn staged_path(&self, site: &Site) -> PathBuf {
        match &site.device {
            None => self.staging_path(&site.volume),
            Some(pv) => self.staging_root().join(DEVICES).join("staging").join(pv),
        }
    }

    /// Where the device `pv` is published to the pod `uid`.
    pub(crate) fn device_path(&self, pv: &str, uid: &PodUid) -> PathBuf {
        self.staging_root().join(DEVICES).join("publish").join(pv).join(uid.as_str())
    }

    /// The directory of what is published to the pod `uid` under the name `spec_name` (that of the PersistentVolume, or
    /// in the pod's spec): the published path and the note are in it.
    ///
    /// # Errors
    /// If the UID cannot be the name of a directory.
    pub(crate) fn publish_dir(&self, uid: &PodUid, spec_name: &str) -> Result<PathBuf, UnusableUid> {
        Ok(PodPaths::new(&self.root_dir, uid)?.volume(PLUGIN, spec_name))
    }

    /// The mark of a volume that was published whole.
    pub(crate) fn ready_mark(&self, uid: &PodUid, spec_name: &str) -> Result<PathBuf, UnusableUid> {
        Ok(PodPaths::new(&self.root_dir, uid)?.plugins().join(PLUGIN).join(spec_name).join("ready"))
    }

    /// The directory of all pods.
    pub(crate) fn pods_dir(&self) -> PathBuf {
        volume::paths::pods_dir(&self.root_dir)
    }
}

/// The staging path in a volume's staging directory.
pub(crate) fn staged_in(dir: &Path) -> PathBuf {
    dir.join("globalmount")
}

/// The published path in a volume's directory of a pod.
pub(crate) fn published_in(dir: &Path) -> PathBuf {
    dir.join("mount")
}

/// Whether `name` can be the name of a directory: it comes from the API server, or from a note.
pub(crate) fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0']) && name.len() <= 255
}

/// Whether `name` can be that of a volume's staging directory.
pub(crate) fn is_hash(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_kubelets() {
        let volume = VolumeId { driver: "hostpath.csi.k8s.io".into(), handle: "vol-1".into() };
        let layout = Layout::new("/var/lib/kubelet".into());
        assert_eq!(
            layout.staging_path(&volume).to_str().unwrap(),
            "/var/lib/kubelet/plugins/kubernetes.io/csi/hostpath.csi.k8s.io/\
             STAGED/globalmount"
                .replace("STAGED", SHA_OF_VOL_1)
        );
        assert_eq!(volume.unique_name(), "kubernetes.io/csi/hostpath.csi.k8s.io^vol-1");
        assert_eq!(VolumeId::of_unique_name(&volume.unique_name()), Some(volume.clone()));
        assert_eq!(VolumeId::of_unique_name("kubernetes.io/iscsi/iqn:1"), None);
        let uid = PodUid::from("0d5a");
        assert_eq!(
            published_in(&layout.publish_dir(&uid, "pv-1").unwrap()).to_str().unwrap(),
            "/var/lib/kubelet/pods/0d5a/volumes/kubernetes.io~csi/pv-1/mount"
        );
        assert_eq!(volume.attachment("node-1"), ATTACHMENT);
        assert_eq!(VolumeId::ephemeral_handle(&uid, "scratch"), EPHEMERAL);
    }

    // printf %s TEXT | sha256sum
    const SHA_OF_VOL_1: &str = "d2e8363faaac7ae76def3b14091d8eb5755f6b92e9531627aeec833a8731cc49";
    const ATTACHMENT: &str = "csi-a5a2e67339ab5660a390dc86be397e784322823ff01f40cf2c01a72c3cab1374";
    const EPHEMERAL: &str = "csi-08072e63dfc0135d547ffdd1cf7fd5e5582bd21ec0dffdfa9d27c72fb478fdd2";

    #[test]
    fn names_that_lead_elsewhere() {
        for name in ["", ".", "..", "a/b", "a\0b"] {
            assert!(!is_name(name), "{name:?}");
        }
        assert!(is_name("pvc-0d5a") && is_name("..data"));
    }
}
