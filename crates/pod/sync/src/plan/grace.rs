//! How long a container is given to end (Kubernetes: "Pod Lifecycle: Pod termination"; KEP-2238 for probes).

use types::{Container, Pod, pod};

use super::KillReason;

/// The seconds that a container is given from the beginning of its preStop hook: an override, else the pod's
/// `deletionGracePeriodSeconds`, else that of the probe that failed, else the pod's `terminationGracePeriodSeconds`.
#[must_use]
pub fn grace_seconds(
    pod: &Pod,
    container: Option<&Container>,
    reason: KillReason,
    grace_override: Option<i64>,
) -> i64 {
    let probe = container.and_then(|container| match reason {
        KillReason::LivenessProbe => container.liveness_probe.as_ref(),
        KillReason::StartupProbe => container.startup_probe.as_ref(),
        _ => None,
    });
    grace_override
        .or(pod.metadata.deletion_grace_period_seconds)
        .or_else(|| probe.and_then(|probe| probe.termination_grace_period_seconds))
        .unwrap_or_else(|| pod::termination_grace_seconds(pod))
        .max(0)
}

/// The timeout for CRI's `StopContainer`, when `spent_seconds` of the grace have gone by: at least 2 s, so that a
/// process that ends at SIGTERM is hardly ever killed.
#[must_use]
pub fn stop_timeout_seconds(grace_seconds: i64, spent_seconds: i64) -> i64 {
    const MINIMUM: i64 = 2;
    grace_seconds.saturating_sub(spent_seconds).max(MINIMUM)
}
