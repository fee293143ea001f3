//! How a volume is used: for reading or writing, by whom, as files or as a device.

use super::{Capabilities, Capability};
use crate::proto::csi::VolumeCapability;
use crate::proto::csi::volume_capability::access_mode::Mode;
use crate::proto::csi::volume_capability::{self as wire, BlockVolume, MountVolume};

/// Who may use a volume at once (Kubernetes: "Persistent Volumes, Access Modes").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum AccessMode {
    /// Read and written from one node.
    ReadWriteOnce,
    /// Read from many nodes.
    ReadOnlyMany,
    /// Read and written from many nodes.
    ReadWriteMany,
    /// Read and written by one pod.
    ReadWriteOncePod,
}

impl AccessMode {
    /// The mode of this name in a claim; `None` for a name that Kubernetes does not have.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ReadWriteOnce" => Self::ReadWriteOnce,
            "ReadOnlyMany" => Self::ReadOnlyMany,
            "ReadWriteMany" => Self::ReadWriteMany,
            "ReadWriteOncePod" => Self::ReadWriteOncePod,
            _ => return None,
        })
    }

    /// CSI's mode. A driver that does not tell several pods on a node from one gets the old mode for both.
    fn wire(self, capabilities: &Capabilities) -> Mode {
        let tells_pods_apart = capabilities.has(Capability::SingleNodeMultiWriter);
        match self {
            Self::ReadWriteOnce if tells_pods_apart => Mode::SingleNodeMultiWriter,
            Self::ReadWriteOncePod if tells_pods_apart => Mode::SingleNodeSingleWriter,
            Self::ReadWriteOnce | Self::ReadWriteOncePod => Mode::SingleNodeWriter,
            Self::ReadOnlyMany => Mode::MultiNodeReaderOnly,
            Self::ReadWriteMany => Mode::MultiNodeMultiWriter,
        }
    }
}

/// As what a pod gets a volume.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum AccessType {
    /// As a directory.
    Mount {
        /// The file system; empty for the driver's choice.
        fs_type: String,
        /// Mount options.
        flags: Vec<String>,
        /// The group that its files are given to; only for drivers with [`Capability::VolumeMountGroup`].
        group: Option<u32>,
    },
    /// As a block device.
    Block,
}

/// How a volume is used.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct VolumeAccess {
    /// Who may use it at once.
    pub mode: AccessMode,
    /// As what.
    pub as_type: AccessType,
}

impl VolumeAccess {
    /// What CSI calls the volume's capability, for a driver with `capabilities`.
    pub(super) fn wire(&self, capabilities: &Capabilities) -> VolumeCapability {
        let access_type = match &self.as_type {
            AccessType::Block => wire::AccessType::Block(BlockVolume {}),
            AccessType::Mount { fs_type, flags, group } => wire::AccessType::Mount(MountVolume {
                fs_type: fs_type.clone(),
                mount_flags: flags.clone(),
                volume_mount_group: group
                    .filter(|_| capabilities.has(Capability::VolumeMountGroup))
                    .map(|group| group.to_string())
                    .unwrap_or_default(),
            }),
        };
        let mode = self.mode.wire(capabilities).into();
        VolumeCapability { access_mode: Some(wire::AccessMode { mode }), access_type: Some(access_type) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_follow_what_the_driver_tells_apart() {
        use AccessMode::{ReadOnlyMany, ReadWriteMany, ReadWriteOnce, ReadWriteOncePod};
        let (old, new) =
            (Capabilities::default(), Capabilities::from_iter([Capability::SingleNodeMultiWriter]));
        let table = [
            (ReadWriteOnce, Mode::SingleNodeWriter, Mode::SingleNodeMultiWriter),
            (ReadWriteOncePod, Mode::SingleNodeWriter, Mode::SingleNodeSingleWriter),
            (ReadOnlyMany, Mode::MultiNodeReaderOnly, Mode::MultiNodeReaderOnly),
            (ReadWriteMany, Mode::MultiNodeMultiWriter, Mode::MultiNodeMultiWriter),
        ];
        for (mode, with_old, with_new) in table {
            assert_eq!((mode.wire(&old), mode.wire(&new)), (with_old, with_new), "{mode:?}");
        }
        assert_eq!(AccessMode::named("ReadWriteOncePod"), Some(ReadWriteOncePod));
        assert_eq!(AccessMode::named("readwriteonce"), None);
    }

    #[test]
    fn the_group_goes_to_drivers_that_take_it() {
        let as_type = AccessType::Mount { fs_type: "ext4".into(), flags: vec![], group: Some(7) };
        let access = VolumeAccess { mode: AccessMode::ReadWriteOnce, as_type };
        let group = |capabilities: &Capabilities| match access.wire(capabilities).access_type {
            Some(wire::AccessType::Mount(mount)) => mount.volume_mount_group,
            other => panic!("{other:?}"),
        };
        assert_eq!(group(&Capabilities::default()), "");
        assert_eq!(group(&Capabilities::from_iter([Capability::VolumeMountGroup])), "7");
    }
}
