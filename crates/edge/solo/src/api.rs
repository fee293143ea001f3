//! What every request works with.

use std::sync::Arc;
use std::time::Duration;

use crate::auth::Issuer;
use crate::node::NodeClient;
use crate::store::Store;
use crate::usage::Usages;

/// The API without its connections.
#[derive(Debug)]
pub(crate) struct Api {
    pub(crate) store: Store,
    /// Asks nodes.
    pub(crate) nodes: NodeClient,
    pub(crate) usages: Usages,
    /// A stream to a node that is silent for so long is ended.
    pub(crate) stream_idle: Duration,
    pub(crate) issuer: Arc<Issuer>,
    /// The certificate of the authority that signs for this server, in PEM.
    pub(crate) ca: Arc<str>,
    /// Where it listens, as `host:port`.
    pub(crate) address: String,
}
