//! Metrics of this crate.

use std::fmt;
use std::time::Duration;

use telemetry::metrics::{Gauge, Histogram, PROM_DEFAULT_BUCKETS, Registry, Stability};

/// Where the numbers come from.
#[derive(Clone)]
pub struct Metrics {
    provider: Gauge,
    collection: Histogram,
}

impl Metrics {
    /// The families, registered.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let help = "Who measures containers: cadvisor (the kernel's files, read as cAdvisor does) or cri (the runtime). Always 1.";
        let labels = &["provider"];
        Self {
            provider: registry.gauge("kubelet_metrics_provider", help, Stability::Alpha, labels),
            collection: registry.histogram(
                "kubelet_volume_metric_collection_duration_seconds",
                "How long it took to learn what is in volumes, by how: du (looking through one directory) or fsquota (asking a file system what it has counted of all).",
                Stability::Alpha,
                &["metric_source"],
                PROM_DEFAULT_BUCKETS,
            ),
        }
    }

    /// Says that containers are measured by the kernel's files.
    pub(crate) fn by_the_kernel(&self) {
        self.provider.set(&["cadvisor"], 1.0);
    }

    /// A directory was looked through.
    pub(crate) fn looked_through(&self, took: Duration) {
        self.collection.observe(&["du"], took.as_secs_f64());
    }

    /// A file system told what it has counted.
    pub(crate) fn counted(&self, took: Duration) {
        self.collection.observe(&["fsquota"], took.as_secs_f64());
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
