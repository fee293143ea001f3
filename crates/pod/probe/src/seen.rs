//! What workers show the prober.

use std::net::IpAddr;
use std::sync::Arc;

use task::cell::PodCell;
use types::corev1::PodStatus;
use types::{ObservedPod, Pod};

use crate::group::Stage;

/// A pod as its worker shows it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its spec.
    pub pod: &'a Arc<Pod>,
    /// Where the results go.
    pub cell: &'a Arc<PodCell>,
    /// What the runtime has of it.
    pub observed: &'a Arc<ObservedPod>,
    /// The node's address, for pods on its network.
    pub node_ip: Option<IpAddr>,
    /// What was said of it last, here or before berth was restarted.
    pub last: Option<&'a PodStatus>,
    /// Where it is in its life.
    pub stage: Stage,
}
