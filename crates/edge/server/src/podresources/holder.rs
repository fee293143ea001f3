//! Pods that may have resources of the node.

use std::sync::Arc;

use types::Pod;

/// A pod that may have resources of the node.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Its object.
    pub pod: Arc<Pod>,
    /// Whether it was admitted, and something of it may still run.
    pub active: bool,
}

/// Who knows the pods.
pub trait Holders: Send + Sync + 'static {
    /// All pods that sources have, in any order.
    fn holders(&self) -> Vec<Holder>;
}
