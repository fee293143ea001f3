//! How the node stands with the API server.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use types::corev1::Node;

use crate::ApiFailure;

/// How the node stands with the API server. Nobody is to wait for it: pods run without.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Standing {
    /// The Node object, as it was last seen; `None` while the node is not registered.
    pub node: Option<Arc<Node>>,
    /// The generation of the volumes in use that the API server is known to have; `None` while none is. The Node object
    /// above is not older than that.
    pub in_use: Option<u64>,
    /// What is wrong with registering and reporting.
    pub status: Option<Trouble>,
    /// What is wrong with renewing the lease.
    pub lease: Option<Trouble>,
}

/// Calls of one kind fail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// The latest error.
    pub error: String,
}

impl Standing {
    /// The UID of the Node object, if the node is registered.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        self.node.as_ref()?.metadata.uid.as_deref()
    }
}

/// Which calls are meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Calls {
    Status,
    Lease,
}

impl Calls {
    fn place(self, standing: &mut Standing) -> &mut Option<Trouble> {
        match self {
            Self::Status => &mut standing.status,
            Self::Lease => &mut standing.lease,
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Status => "register the node and report its status",
            Self::Lease => "renew the node's lease",
        }
    }

    /// Takes note of the outcome of a call. What fails is logged once, and so is that it works again.
    pub(crate) fn note(self, standing: &watch::Sender<Standing>, failure: Option<&ApiFailure>) {
        let what = self.what();
        standing.send_if_modified(|standing| {
            let place = self.place(standing);
            let before = place.take();
            *place = failure.map(|failure| Trouble {
                since: before.as_ref().map_or_else(Timestamp::now, |before| before.since),
                error: failure.to_string(),
            });
            match (&before, &*place) {
                (None, Some(now)) => tracing::warn!(error = now.error, "Cannot {what}; it is tried again"),
                (Some(_), Some(now)) => tracing::debug!(error = now.error, "Still cannot {what}"),
                (Some(before), None) => tracing::info!(since = %before.since, "Can {what} again"),
                (None, None) => {}
            }
            before != *place
        });
    }
}
