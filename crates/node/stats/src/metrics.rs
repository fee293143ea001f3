//! Metrics of this crate.

use telemetry::metrics::{Gauge, Registry, Stability};

/// Where the numbers come from.
#[derive(Clone)]
pub struct Metrics {
    provider: Gauge,
}

impl Metrics {
    /// The families, registered.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let help = "Who measures containers: cadvisor (the kernel's files, read as cAdvisor does) or cri (the runtime). Always 1.";
        let labels = &["provider"];
        Self { provider: registry.gauge("kubelet_metrics_provider", help, Stability::Alpha, labels) }
    }

    /// Says that containers are measured by the kernel's files.
    pub(crate) fn by_the_kernel(&self) {
        self.provider.set(&["cadvisor"], 1.0);
    }
}
