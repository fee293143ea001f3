//! The calls about the Node object and its lease, through the API server's client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use kubeapi::{ApiError, ApiErrorKind, Client, Limits, NodeLease};
use node::{ApiFailure, FailureKind, LeaseApi, NodeApi, Pace};
use serde_json::Value;
use types::corev1::Node;

/// Calls in a row without an answer after which the connections are taken for dead.
const SILENT_CALLS: u32 = 2;

/// Calls about the Node object, which wait for nobody else's requests. Clones share what they know of the connection.
#[derive(Clone)]
pub(super) struct NodeCalls {
    client: Client,
    silent: Arc<AtomicU32>,
}

impl NodeCalls {
    /// Calls that end, with or without an answer, a little before `pace` drops them.
    pub(super) fn new(client: &Client, pace: Pace) -> Self {
        let deadline = pace.deadline() * 9 / 10;
        let limits = Limits { qps: 0.0, burst: 0, deadline };
        Self { client: client.with_limits(limits), silent: Arc::default() }
    }

    /// Renewals of the lease of node `name`, which is good for so long.
    pub(super) fn lease(&self, name: &str, good_for: Duration) -> LeaseCalls {
        LeaseCalls { calls: self.clone(), lease: NodeLease::new(self.client.clone(), name, good_for) }
    }

    /// What the node is told of `outcome`. Connections over which nothing comes are given up: one of them may be dead
    /// without anybody having said so, and the node must not be given up for that.
    fn told<T>(&self, outcome: Result<T, ApiError>) -> Result<T, ApiFailure> {
        let silent = matches!(&outcome, Err(error) if error.kind == ApiErrorKind::Timeout);
        if !silent {
            self.silent.store(0, Relaxed);
        } else if self.silent.fetch_add(1, Relaxed) + 1 >= SILENT_CALLS {
            self.silent.store(0, Relaxed);
            self.client.reconnect();
        }
        outcome.map_err(|error| failure(&error))
    }
}

impl NodeApi for NodeCalls {
    async fn get(&self, name: &str) -> Result<Node, ApiFailure> {
        self.told(self.client.get_node(name, false).await)
    }

    async fn create(&self, node: &Node) -> Result<Node, ApiFailure> {
        self.told(self.client.create_node(node).await)
    }

    async fn patch_status(&self, name: &str, patch: &Value) -> Result<Node, ApiFailure> {
        self.told(self.client.patch_node_status(name, patch).await)
    }
}

/// The call about the node's lease.
pub(super) struct LeaseCalls {
    calls: NodeCalls,
    lease: NodeLease,
}

impl LeaseApi for LeaseCalls {
    async fn renew(&mut self, node_uid: &str) -> Result<(), ApiFailure> {
        let outcome = self.lease.renew(Some(node_uid)).await;
        self.calls.told(outcome)
    }
}

fn failure(error: &ApiError) -> ApiFailure {
    let kind = match error.kind {
        ApiErrorKind::NotFound => FailureKind::NotFound,
        ApiErrorKind::AlreadyExists => FailureKind::AlreadyExists,
        _ => FailureKind::Other,
    };
    ApiFailure { kind, message: telemetry::chain(error), retry_after: error.retry_after() }
}
