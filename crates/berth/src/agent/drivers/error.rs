//! Why a volume of a claim or of a driver cannot be had.

use kubeapi::ApiError;
use volume::Problem;
use volume::claim::ClaimProblem;

use crate::agent::cluster::DEADLINE;

/// Why a volume cannot be had from a driver.
#[derive(Debug, thiserror::Error)]
pub(super) enum DriversError {
    #[error(transparent)]
    Claim(#[from] ClaimProblem),
    #[error("error processing PVC {namespace}/{claim}: failed to fetch {what} from API server")]
    Fetch {
        namespace: String,
        claim: String,
        what: String,
        #[source]
        source: AskError,
    },
    #[error("fetching secret {namespace}/{name} failed")]
    Secret {
        namespace: String,
        name: String,
        #[source]
        source: AskError,
    },
    #[error("fetching a token of service account {0:?} failed")]
    Token(String, #[source] AskError),
    #[error("the API server has not told of CSIDriver objects yet")]
    NoDriversYet,
    #[error("PersistentVolume {0:?} is of a kind that berth does not have: use one of a CSI driver")]
    Foreign(String),
    #[error(
        "attaching volumes from the kubelet is not supported: let the control plane do it (enableControllerAttachDetach)"
    )]
    NotByController,
    #[error("volume {volume} has GET error for volume attachment {attachment}")]
    Attachment {
        volume: String,
        attachment: String,
        #[source]
        source: AskError,
    },
    #[error(transparent)]
    Labels(#[from] volume::selinux::SeveralLabels),
    #[error(transparent)]
    Spec(#[from] csi::SpecError),
    #[error(transparent)]
    Mounted(#[from] intree::SpecError),
}

impl From<DriversError> for Problem {
    fn from(error: DriversError) -> Self {
        Self::Driver(error.into())
    }
}

/// Why the API server did not say something.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the API server did not answer within {DEADLINE:?}")]
    Late,
}
