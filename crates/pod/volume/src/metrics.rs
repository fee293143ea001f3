//! Metrics of volumes (names, labels and buckets are the kubelet's).

use std::fmt;
use std::time::Duration;

use telemetry::metrics::{Histogram, Registry, Stability};

const BUCKETS: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 25.0, 50.0, 120.0, 300.0, 600.0];

/// The families that volumes feed.
#[derive(Clone)]
pub struct Metrics {
    operation_duration: Histogram,
}

impl Metrics {
    /// Adds the families to `registry`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self {
            operation_duration: registry.histogram(
                "storage_operation_duration_seconds",
                "Duration of an operation on a volume, by plugin, operation and outcome.",
                Stability::Alpha,
                &["volume_plugin", "operation_name", "status", "migrated"],
                BUCKETS,
            ),
        }
    }

    /// A volume of the plugin was prepared, or could not be.
    pub(crate) fn mounted(&self, plugin: &str, took: Duration, succeeded: bool) {
        self.did(plugin, "volume_mount", took, succeeded);
    }

    /// A volume of the plugin was made to grow, or could not be.
    pub fn grown(&self, plugin: &str, took: Duration, succeeded: bool) {
        self.did(plugin, "volume_fs_resize", took, succeeded);
    }

    fn did(&self, plugin: &str, operation: &str, took: Duration, succeeded: bool) {
        let status = if succeeded { "success" } else { "fail-unknown" };
        self.operation_duration.observe(&[plugin, operation, status, "false"], took.as_secs_f64());
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
