//! What a pod is to have.

use types::PodRef;
use volume::ownership::ChangePolicy;

use crate::fc;
use crate::flexvolume::Flex;
use crate::iscsi;
use crate::layout::{Device, Target};
use crate::local::Local;
use crate::nfs::Nfs;

/// A volume that one pod is to have.
#[derive(Clone, PartialEq, Eq, Debug)]
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
    /// What it is.
    pub kind: Kind,
}

/// The group of a pod (`securityContext.fsGroup`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its id.
    pub id: u32,
    /// When files are gone through.
    pub policy: ChangePolicy,
}

/// What a volume is.
#[derive(Clone, PartialEq, Eq, Debug)]
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

impl Wanted {
    /// The device that it is on; none if its kind has none, or a name leads elsewhere. For a local volume: if it is a disk.
    pub(crate) fn device(&self) -> Option<Device> {
        let mode = self.target.mode;
        match &self.kind {
            Kind::Local(_) => Device::local(&self.target.spec_name, mode),
            Kind::Nfs(_) => None,
            Kind::Iscsi(disk) => disk.device(mode),
            Kind::Fc(disk) => disk.naming.device(mode),
            Kind::Flex(flex) => flex.device(&self.target.spec_name),
        }
    }

    /// Whether the pod's containers may be given access by SELinux labels: the file system has room for them, and the
    /// volume is written to.
    #[must_use]
    pub fn is_relabeled(&self) -> bool {
        !self.read_only && !matches!(self.kind, Kind::Nfs(_))
    }
}
