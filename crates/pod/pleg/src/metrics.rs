//! Metrics of the generator (names and labels are the kubelet's).

use telemetry::metrics::{Counter, Gauge, Histogram, PROM_DEFAULT_BUCKETS, Registry, Stability::Alpha};

/// The families that the generator feeds.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) relist_duration: Histogram,
    pub(crate) relist_interval: Histogram,
    pub(crate) last_seen: Gauge,
    pub(crate) pod_relist_duration: Histogram,
    pub(crate) connection_errors: Counter,
    pub(crate) connection_successes: Counter,
    pub(crate) connection_latency: Histogram,
    pub(crate) running_pods: Gauge,
    pub(crate) running_containers: Gauge,
}

impl Metrics {
    /// Adds the families to `registry`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let histogram = |name, help| registry.histogram(name, help, Alpha, &[], PROM_DEFAULT_BUCKETS);
        Self {
            relist_duration: histogram("kubelet_pleg_relist_duration_seconds", "Duration of a relist."),
            relist_interval: histogram("kubelet_pleg_relist_interval_seconds", "Time between two relists."),
            last_seen: registry.gauge(
                "kubelet_pleg_last_seen_seconds",
                "Unix time at which the generator was last seen active.",
                Alpha,
                &[],
            ),
            pod_relist_duration: histogram(
                "kubelet_pleg_pod_relist_duration_seconds",
                "Duration of a look at one pod.",
            ),
            connection_errors: registry.counter(
                "kubelet_evented_pleg_connection_error_count",
                "Errors in making or keeping the connection to the runtime's event stream.",
                Alpha,
                &[],
            ),
            connection_successes: registry.counter(
                "kubelet_evented_pleg_connection_success_count",
                "Times the runtime's event stream was connected.",
                Alpha,
                &[],
            ),
            connection_latency: histogram(
                "kubelet_evented_pleg_connection_latency_seconds",
                "Time from an event in the runtime to its arrival here.",
            ),
            running_pods: registry.gauge(
                "kubelet_running_pods",
                "Pods with a sandbox that is ready.",
                Alpha,
                &[],
            ),
            running_containers: registry.gauge(
                "kubelet_running_containers",
                "Containers in the runtime, by state.",
                Alpha,
                &["container_state"],
            ),
        }
    }
}
