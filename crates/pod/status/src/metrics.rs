//! Metrics of statuses (names are the kubelet's).

use telemetry::metrics::{Histogram, Registry, Stability};

/// The families that the writer feeds.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) sync_duration: Histogram,
}

impl Metrics {
    /// Adds the families to `registry`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self {
            sync_duration: registry.histogram(
                "kubelet_pod_status_sync_duration_seconds",
                "Time from a change of a pod's status until the API server had it.",
                Stability::Alpha,
                &[],
                [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0],
            ),
        }
    }
}
