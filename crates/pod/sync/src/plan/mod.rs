//! From a pod and what the runtime has of it to what has to be done: pure, without memory. Each round compares the
//! whole of both, so that a round that was cut short anywhere, by a crash of berth for instance, is simply gone on
//! with by the next.

mod action;
mod input;

pub use action::{BackedOff, Kill, KillReason, Plan, Sandbox, Start, Termination};
pub use input::{BackOff, PlanInput};

use types::{ObservedPod, Pod};

/// What has to be done to bring the runtime to what the pod asks for.
#[must_use]
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let _ = input;
    Plan::default()
}

/// How to stop everything of the pod that lives. `grace_override` (seconds) takes the place of the pod's own grace.
#[must_use]
pub fn termination(pod: &Pod, observed: &ObservedPod, grace_override: Option<i64>) -> Termination {
    let _ = (pod, observed, grace_override);
    Termination::default()
}

/// The timeout for CRI's `StopContainer`, when `spent_seconds` of the grace have gone by: at least 2 s, so that a
/// process that ends at SIGTERM is hardly ever killed.
#[must_use]
pub fn stop_timeout_seconds(grace_seconds: i64, spent_seconds: i64) -> i64 {
    const MINIMUM: i64 = 2;
    grace_seconds.saturating_sub(spent_seconds).max(MINIMUM)
}
