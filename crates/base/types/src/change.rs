//! What a source of pods says has changed.

use std::fmt;
use std::sync::Arc;

use crate::{Pod, PodRef};

/// Where a pod's manifest came from (the annotation `kubernetes.io/config.source`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum SourceKind {
    /// A manifest file or directory (`staticPodPath`).
    File,
    /// A URL (`staticPodURL`).
    Http,
    /// The API server.
    Api,
}

impl SourceKind {
    /// The annotation's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Http => "http",
            Self::Api => "api",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One change of the set of pods that ought to run here. Level-triggered: `Set` carries the whole pod.
#[derive(Clone, Debug)]
pub enum PodChange {
    /// The pod is wanted, as given. Said for a new pod and for each update of a known one.
    Set(Arc<Pod>),
    /// The source no longer has the pod: stop it with its own grace period and clean up after it.
    Remove(PodRef),
    /// The source has been read, for the first time or with another `whole` than before. Until every configured source
    /// has said so, nothing that is unknown may be deleted.
    Seen {
        /// Which one.
        source: SourceKind,
        /// Whether all of it could be read, now or before. If not, a static pod that no source has may be one whose
        /// manifest cannot be read.
        whole: bool,
    },
}
