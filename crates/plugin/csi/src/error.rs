//! Why a volume is not there, or not gone.

use linux::PathError;
use pluginapi::PluginError;
use task::blocking::Abandoned;
use types::PodUid;

use crate::disk::DiskError;
use crate::layout::VolumeId;
use crate::plan::Target;

/// Something could not be done with a volume. What was done stays done; trying again continues.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// Its driver is not registered (yet). It may be in a pod that is about to start.
    #[error("driver name {0} not found in the list of registered CSI drivers")]
    NotRegistered(String),
    /// It is for one pod at a time, and is or may be published to another one.
    #[error("volume uses the ReadWriteOncePod access mode and is already in use by another pod")]
    InUse,
    /// It is mounted with another SELinux label, for another pod.
    #[error("conflicting SELinux labels of volume {volume}: {staged:?} and {wanted:?}")]
    Label {
        /// The volume.
        volume: VolumeId,
        /// With which one it is staged.
        staged: String,
        /// Which one is wanted.
        wanted: String,
    },
    /// Its driver is asked about so many volumes already that this one was left out.
    #[error("CSI driver {0} does not keep up with being asked how full its volumes are")]
    Busy(String),
    /// Its driver does not do it.
    #[error(transparent)]
    Driver(#[from] PluginError),
    /// Its driver does not stage it, which is done once for all pods.
    #[error(transparent)]
    Stage(PluginError),
    /// Its directories are in a bad state.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The driver says that it did it, and it is not so.
    #[error(
        "the CSI driver says that it has taken volume {volume} down, and it is still mounted: look at its log"
    )]
    Undone {
        /// The volume.
        volume: VolumeId,
    },
    /// The driver did it, and the files could not be given to the pod's group.
    #[error("the volume is mounted, and its files cannot be given to group {group}")]
    Ownership {
        /// The group (`fsGroup`).
        group: u32,
        /// Why.
        #[source]
        source: PathError,
    },
    /// The kernel does not answer.
    #[error("a file system does not answer: check the mounts of volume {volume}")]
    Hung {
        /// The volume.
        volume: VolumeId,
        /// For how long it was waited.
        #[source]
        source: Abandoned,
    },
}

impl VolumeError {
    /// Whether it may go away without anybody changing anything: the driver comes, or answers.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotRegistered(_) | Self::Busy(_) | Self::Hung { .. } => true,
            Self::Driver(error) | Self::Stage(error) => error.kind.is_uncertain(),
            _ => false,
        }
    }
}

/// It cannot be seen which volumes are on the node.
#[derive(Debug, thiserror::Error)]
pub enum HereError {
    /// A directory is in a bad state.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The kernel does not answer.
    #[error(transparent)]
    Hung(#[from] Abandoned),
}

/// Some of a pod's volumes could not be taken away. The others were.
#[derive(Debug)]
pub struct TakeDownError {
    /// The pod.
    pub pod: PodUid,
    /// Which, and why; at least one.
    pub failures: Vec<(Target, VolumeError)>,
}

/// Prints every failure with its causes: several errors have no single source.
impl std::fmt::Display for TakeDownError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CSI volumes of the pod {} could not be taken down", self.pod)?;
        for (target, error) in &self.failures {
            write!(f, "; volume {:?}: {}", target.spec_name, telemetry::chain(error))?;
        }
        Ok(())
    }
}

impl std::error::Error for TakeDownError {}
