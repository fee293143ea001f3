//! Why a volume is not there, or not gone.

use std::path::PathBuf;

use linux::PathError;
use linux::beneath::BeneathError;
use linux::mount::MountError;
use task::blocking::Abandoned;
use types::PodUid;
use volume::UnusableUid;

use crate::disk::DiskError;
use crate::fc::NoDisk;
use crate::flexvolume::FlexError;
use crate::format::FormatError;
use crate::iscsi::IscsiError;
use crate::layout::Target;
use crate::local::LocalError;
use crate::plan::Step;
use crate::run::{CommandError, Said};

/// Something could not be done with a volume. What was done stays done; trying again continues.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Its directories are in a bad state.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// It cannot be mounted, or not unmounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A command did not do it.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It is no local volume.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// Its disk cannot be mounted as it is.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Its disk looks empty, and cannot be read: it must not be overwritten.
    #[error("disk {} looks unformatted and cannot be read, so it is not formatted: look at the kernel's log (dmesg)", disk.display())]
    Unreadable {
        /// The disk.
        disk: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its disk has another file system than it should.
    #[error(
        "disk {} was to be mounted as {wanted} and is formatted as {found}: correct the volume's fsType",
        disk.display()
    )]
    Mismatch {
        /// The disk.
        disk: PathBuf,
        /// What was asked for.
        wanted: String,
        /// What is there.
        found: String,
        /// Why it could not be mounted.
        #[source]
        source: Box<CommandError>,
    },
    /// Its disk has errors.
    #[error("'fsck' found errors on device {} but could not correct them: {output}", disk.display())]
    Errors {
        /// The disk.
        disk: PathBuf,
        /// What was said.
        output: Said,
    },
    /// An iSCSI disk cannot be attached.
    #[error(transparent)]
    Iscsi(#[from] IscsiError),
    /// There is no such Fibre Channel disk.
    #[error(transparent)]
    Fc(#[from] NoDisk),
    /// A FlexVolume driver did not do it.
    #[error(transparent)]
    Flex(#[from] FlexError),
    /// A disk cannot be detached.
    #[error("disk {disk} is mounted at {}, and is not detached: find out who has mounted it there and unmount it", point.display())]
    InUse {
        /// The disk.
        disk: String,
        /// Where it is mounted.
        point: PathBuf,
    },
    /// The same, and it is not seen where.
    #[error(
        "disk {disk} is in use and is not detached: it is mounted in another mount namespace, or belongs to a device mapper or \
         RAID device, or to a swap area; `lsblk` and `grep {disk} /proc/*/mountinfo` show which"
    )]
    Claimed {
        /// The disk.
        disk: String,
    },
    /// Its disk is mounted with another SELinux label, for another pod.
    #[error("conflicting SELinux labels of volume {volume}: {found:?} and {wanted:?}")]
    Label {
        /// The volume.
        volume: String,
        /// With which one it is mounted; empty for none.
        found: String,
        /// Which one is wanted; empty for none.
        wanted: String,
    },
    /// It is mounted, and the files could not be given to the pod's group.
    #[error("the volume is mounted, and its files cannot be given to group {group}")]
    Ownership {
        /// The group (`fsGroup`).
        group: u32,
        /// Why.
        #[source]
        source: PathError,
    },
    /// What was done did not help.
    #[error("{step:?} of volume {target} has no effect: look at what is mounted at its directory")]
    NoEffect {
        /// What was done.
        step: Step,
        /// The volume.
        target: String,
    },
    /// The kernel does not answer.
    #[error("a file system does not answer: check the mounts of volume {target}")]
    Hung {
        /// The volume.
        target: String,
        /// For how long it was waited.
        #[source]
        source: Abandoned,
    },
}

impl VolumeError {
    /// Whether it happened to the device that the volume is on, if it is on one: to what is done once for all pods.
    #[must_use]
    pub fn is_of_device(&self) -> bool {
        // Of the commands at a volume that has a device only those of FlexVolume drivers are run for one pod.
        matches!(
            self,
            Self::Command(_)
                | Self::Format(_)
                | Self::Unreadable { .. }
                | Self::Mismatch { .. }
                | Self::Errors { .. }
                | Self::Iscsi(_)
                | Self::Fc(_)
        )
    }
}

impl From<PathError> for VolumeError {
    fn from(error: PathError) -> Self {
        Self::Disk(error.into())
    }
}

impl From<BeneathError> for VolumeError {
    fn from(error: BeneathError) -> Self {
        Self::Disk(error.into())
    }
}

impl From<UnusableUid> for VolumeError {
    fn from(error: UnusableUid) -> Self {
        Self::Disk(error.into())
    }
}

/// Some of a pod's volumes could not be taken away. The others were.
#[derive(Debug)]
pub struct TakeDownError {
    /// The pod.
    pub pod: PodUid,
    /// Which, if it is known, and why; at least one.
    pub failures: Vec<(Option<Target>, VolumeError)>,
}

/// Prints every failure with its causes: several errors have no single source.
impl std::fmt::Display for TakeDownError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mounted volumes of the pod {} could not be taken down", self.pod)?;
        for (target, error) in &self.failures {
            match target {
                Some(target) => {
                    write!(f, "; volume {:?}: {}", target.spec_name, telemetry::chain(error))?;
                }
                None => write!(f, "; {}", telemetry::chain(error))?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for TakeDownError {}
