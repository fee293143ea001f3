//! What a pod is to have.

use types::{PodRef, StorageRef};
use volume::ownership::ChangePolicy;
use volume::{Attempt, digest};

use crate::fc;
use crate::flexvolume::Flex;
use crate::iscsi;
use crate::layout::{Device, Target};
use crate::local::Local;
use crate::nfs::Nfs;

/// A volume that one pod is to have.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Wanted {
    /// The pod.
    pub pod: PodRef,
    /// Where it is shown.
    pub target: Target,
    /// The name of the volume in the pod's spec.
    pub name: String,
    /// Whether the pod may only read.
    pub read_only: bool,
    /// The mount options that are asked for.
    pub mount_options: Vec<String>,
    /// To whom its files are given.
    pub group: Option<Group>,
    /// Its name in the Node's `volumesInUse` and `volumesAttached`, if the control plane attaches volumes of its kind.
    pub unique_name: Option<String>,
    /// The device that the control plane has attached, as the Node's `volumesAttached` says. Only a flexVolume has one.
    pub device_path: Option<String>,
    /// The SELinux label that its disk is mounted with, if it is mounted with one.
    pub label: Option<String>,
    /// The PersistentVolume, if the pod has it by a claim.
    pub persistent: Option<StorageRef>,
    /// What it is.
    pub kind: Kind,
}

/// The group of a pod (`securityContext.fsGroup`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Group {
    /// Its id.
    pub id: u32,
    /// When files are gone through.
    pub policy: ChangePolicy,
}

/// What a volume is.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A directory or a disk of the node.
    Local(Local),
    /// An export of an NFS server.
    Nfs(Nfs),
    /// A disk of an iSCSI target.
    Iscsi(iscsi::Disk),
    /// A disk of a Fibre Channel network.
    Fc(fc::Disk),
    /// What a FlexVolume driver mounts.
    Flex(Flex),
}

impl Kind {
    /// The device that `target` is on, as [`Wanted::device`] says.
    pub(crate) fn device(&self, target: &Target) -> Option<Device> {
        match self {
            Self::Local(_) => Device::local(&target.spec_name, target.mode),
            Self::Nfs(_) => None,
            Self::Iscsi(disk) => disk.device(target.mode),
            Self::Fc(disk) => disk.naming.device(target.mode),
            Self::Flex(flex) => flex.device(&target.spec_name),
        }
    }
}

impl Wanted {
    /// The device that it is on; none if its kind has none, or a name leads elsewhere. For a local volume: if it is a disk.
    pub(crate) fn device(&self) -> Option<Device> {
        self.kind.device(&self.target)
    }

    /// What showing it depends on; `late_ends` is how many commands ended that were waited for no longer
    /// ([`Volumes::late_ends`](crate::Volumes::late_ends)).
    #[must_use]
    pub fn attempt(&self, late_ends: u64) -> Attempt {
        let how = (&self.mount_options, self.read_only, &self.label);
        let on = (&self.kind, how, &self.device_path, late_ends);
        let shared = self.device().map(|device| (device.key().to_string(), digest(&on)));
        Attempt { shared, own: digest(&(self, late_ends)) }
    }

    /// Whether it is the disk that has a label or none, rather than its mount options: Kubernetes mounts with labels what is
    /// on a network's disk.
    pub(crate) fn is_labelled(&self) -> bool {
        let by_options = self.mount_options.iter().any(|option| option.starts_with("context="));
        matches!(self.kind, Kind::Iscsi(_) | Kind::Fc(_)) && !by_options
    }

    /// Whether the pod's containers may be given access by SELinux labels: the file system has room for them, the volume is
    /// written to, and it is not mounted with a label.
    #[must_use]
    pub fn is_relabeled(&self) -> bool {
        !self.read_only && !matches!(self.kind, Kind::Nfs(_)) && self.label.is_none()
    }
}
