//! Why a volume has not grown.

use csi::{ExpandError, SpecError};

use crate::agent::drivers::error::AskError;

/// A volume has not grown.
#[derive(Debug, thiserror::Error)]
pub(super) enum GrowError {
    /// What has to be known of it could not be read.
    #[error("failed to fetch {what} from API server")]
    Fetch {
        what: String,
        #[source]
        source: AskError,
    },
    /// The claim could not be told.
    #[error("update of the status of the claim failed")]
    Tell(#[source] AskError),
    /// It is not one of a CSI driver, or its Secret is no text.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// It is not one that berth mounts.
    #[error(transparent)]
    Mounted(#[from] intree::SpecError),
    /// The driver, or a command, did not do it.
    #[error(transparent)]
    Volume(#[from] NotExpanded),
}

/// A volume has not become larger.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotExpanded {
    #[error(transparent)]
    Driver(#[from] ExpandError),
    #[error("Expander.NodeExpand failed to expand the volume")]
    Mounted(#[from] intree::VolumeError),
}

impl NotExpanded {
    /// Whether the pod is about to go, or there is nothing to do on nodes.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Driver(ExpandError::NotThere(_) | ExpandError::Unsupported(_)))
    }

    /// Whether nothing of it is under way any more.
    pub(super) fn is_final(&self) -> bool {
        use intree::{CommandError, VolumeError};
        match self {
            Self::Driver(error) => error.is_final(),
            Self::Mounted(VolumeError::Command(CommandError::Late { .. } | CommandError::StillRuns(_))) => {
                false
            }
            Self::Mounted(error) => !matches!(error, VolumeError::Hung { .. }),
        }
    }

    pub(super) fn is_infeasible(&self) -> bool {
        matches!(self, Self::Driver(error) if error.is_infeasible())
    }

    pub(super) fn is_in_use(&self) -> bool {
        matches!(self, Self::Driver(error) if error.is_in_use())
    }
}

/// A volume had to grow before a pod gets it, or may have had to, and did not.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.Setup failed while expanding volume for volume {volume:?}")]
pub(in crate::agent::drivers) struct NotGrown {
    pub(super) volume: String,
    #[source]
    pub(super) source: GrowError,
}
