//! What is counted about calls to the runtime.

use std::sync::Arc;
use std::time::Duration;

use telemetry::metrics::{Counter, Histogram, PROM_DEFAULT_BUCKETS, Registry, Stability};
use tokio::time::Instant;

use crate::Operation;

/// Metrics of calls to the runtime.
#[derive(Clone)]
pub struct Metrics {
    operations: Counter,
    duration: Histogram,
    errors: Counter,
    sandbox_duration: Histogram,
    sandbox_errors: Counter,
}

impl Metrics {
    /// Metrics that `registry` exposes.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let operation: &[&str] = &["operation_type"];
        let handler: &[&str] = &["runtime_handler"];
        Self {
            operations: registry.counter(
                "kubelet_runtime_operations_total",
                "Cumulative number of runtime operations by operation type.",
                Stability::Alpha,
                operation,
            ),
            duration: registry.histogram(
                "kubelet_runtime_operations_duration_seconds",
                "Duration in seconds of runtime operations. Broken down by operation type.",
                Stability::Alpha,
                operation,
                operation_buckets(),
            ),
            errors: registry.counter(
                "kubelet_runtime_operations_errors_total",
                "Cumulative number of runtime operation errors by operation type.",
                Stability::Alpha,
                operation,
            ),
            sandbox_duration: registry.histogram(
                "kubelet_run_podsandbox_duration_seconds",
                "Duration in seconds of the run_podsandbox operations. Broken down by RuntimeClass.Handler.",
                Stability::Alpha,
                handler,
                PROM_DEFAULT_BUCKETS,
            ),
            sandbox_errors: registry.counter(
                "kubelet_run_podsandbox_errors_total",
                "Cumulative number of the run_podsandbox operation errors by RuntimeClass.Handler.",
                Stability::Alpha,
                handler,
            ),
        }
    }

    /// Starts to measure a call of `operation`.
    pub(crate) fn started(&self, operation: Operation) -> Measured<'_> {
        Measured { metrics: self, operation, start: Instant::now(), succeeded: false }
    }

    /// Records one `RunPodSandbox` with the runtime handler `handler`.
    pub(crate) fn sandbox(&self, handler: &str, duration: Duration, succeeded: bool) {
        self.sandbox_duration.observe(&[handler], duration.as_secs_f64());
        if !succeeded {
            self.sandbox_errors.inc(&[handler]);
        }
    }
}

/// 0.005 s times 2.5 to the n, 14 of them.
fn operation_buckets() -> Arc<[f64]> {
    std::iter::successors(Some(0.005), |bound| Some(bound * 2.5)).take(14).collect()
}

/// A call that is measured. One that is dropped before it succeeds, because it failed or nobody waits for it any
/// more, is an error.
pub(crate) struct Measured<'a> {
    metrics: &'a Metrics,
    operation: Operation,
    start: Instant,
    succeeded: bool,
}

impl Measured<'_> {
    pub(crate) fn finish(mut self, succeeded: bool) {
        self.succeeded = succeeded;
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        let labels = [self.operation.label()];
        self.metrics.operations.inc(&labels);
        self.metrics.duration.observe(&labels, self.start.elapsed().as_secs_f64());
        if !self.succeeded {
            self.metrics.errors.inc(&labels);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_upstreams() {
        let buckets = operation_buckets();
        assert_eq!(buckets.len(), 14);
        assert_eq!(buckets[..4], [0.005, 0.0125, 0.03125, 0.078125]);
    }

    #[test]
    fn an_abandoned_call_is_an_error() {
        let metrics = Metrics::register(&Registry::new());
        metrics.started(Operation::PullImage).finish(true);
        drop(metrics.started(Operation::PullImage));
        assert_eq!(metrics.operations.get(&["pull_image"]), 2);
        assert_eq!(metrics.errors.get(&["pull_image"]), 1);
    }
}
