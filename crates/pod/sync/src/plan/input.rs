//! What a plan is made from.

use std::collections::BTreeMap;

use jiff::Timestamp;
use types::{ObservedPod, Pod, Probes};

use super::BackOff;

/// Everything that [`super::plan`] goes by. There is nothing else: equal inputs give equal plans.
#[derive(Clone, Copy, Debug)]
pub struct PlanInput<'a> {
    /// The pod as it ought to run.
    pub pod: &'a Pod,
    /// What the runtime has of it.
    pub observed: &'a ObservedPod,
    /// What the probes found.
    pub probes: &'a Probes,
    /// Crash back-off by container name. What is missing is not backed off.
    pub back_off: &'a BTreeMap<String, BackOff>,
    /// The pod is being stopped for good: nothing is started any more. A deletion timestamp says the same.
    pub terminating: bool,
    /// The time that back-off is measured at.
    pub now: Timestamp,
}
