//! Metrics of this crate.

use std::fmt;
use std::time::Duration;

use telemetry::metrics::{Gauge, Histogram, PROM_DEFAULT_BUCKETS, Registry, Stability};

use crate::Version;

/// How long work on cgroups takes, and their version.
#[derive(Clone)]
pub struct Metrics {
    duration: Histogram,
    version: Gauge,
}

impl Metrics {
    /// The families, registered.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self {
            duration: registry.histogram(
                "kubelet_cgroup_manager_duration_seconds",
                "Duration in seconds for cgroup manager operations. Broken down by method.",
                Stability::Alpha,
                &["operation_type"],
                PROM_DEFAULT_BUCKETS,
            ),
            version: registry.gauge(
                "kubelet_cgroup_version",
                "cgroup version on the hosts.",
                Stability::Alpha,
                &[],
            ),
        }
    }

    pub(crate) fn observe(&self, operation: &'static str, took: Duration) {
        self.duration.observe(&[operation], took.as_secs_f64());
    }

    pub(crate) fn version(&self, version: Version) {
        self.version.set(&[], f64::from(version.number()));
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
