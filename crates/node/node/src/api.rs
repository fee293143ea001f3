//! What the node needs of the API server.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;
use types::corev1::Node;

/// Why a call failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// There is no such node.
    NotFound,
    /// The node is there already.
    AlreadyExists,
    /// Anything else: the server is away, overloaded, or refuses.
    Other,
}

/// A call that failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiFailure {
    /// What may follow from it.
    pub kind: FailureKind,
    /// What the operator is told, with the chain of causes.
    pub message: String,
    /// For how long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// Waits for the answer to a call until `deadline`.
pub(crate) async fn within<T>(
    deadline: Duration,
    call: impl Future<Output = Result<T, ApiFailure>>,
) -> Result<T, ApiFailure> {
    timeout(deadline, call).await.unwrap_or_else(|_| {
        let message = format!("the API server did not answer within {deadline:?}");
        Err(ApiFailure { kind: FailureKind::Other, message, retry_after: None })
    })
}

/// The calls about the Node object. They are dropped when they take too long.
pub trait NodeApi: Send + Sync {
    /// The node `name`, as the server has it now.
    fn get(&self, name: &str) -> impl Future<Output = Result<Node, ApiFailure>> + Send;

    /// Creates the node, with its status.
    fn create(&self, node: &Node) -> impl Future<Output = Result<Node, ApiFailure>> + Send;

    /// Applies a strategic merge patch to the `status` subresource of the node `name`. Labels and annotations may be in
    /// it, too.
    fn patch_status(
        &self,
        name: &str,
        patch: &Value,
    ) -> impl Future<Output = Result<Node, ApiFailure>> + Send;
}

/// The call about the node's lease (Kubernetes: "Leases", node heartbeats).
pub trait LeaseApi: Send {
    /// Renews the lease, or creates it; it belongs to the Node object of this UID. It is
    /// dropped when it takes too long.
    fn renew(&mut self, node_uid: &str) -> impl Future<Output = Result<(), ApiFailure>> + Send;
}
