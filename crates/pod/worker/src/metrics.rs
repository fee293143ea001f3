//! Metrics of the pod workers (names and labels are the kubelet's).

use telemetry::metrics::{Counter, Gauge, Histogram, PROM_DEFAULT_BUCKETS, Registry, Stability::Alpha};

/// The families that the workers feed.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) worker_duration: Histogram,
    pub(crate) worker_start: Histogram,
    pub(crate) working_pods: Gauge,
    pub(crate) desired_pods: Gauge,
    pub(crate) active_pods: Gauge,
    pub(crate) restarted_pods: Counter,
    pub(crate) orphaned_runtime_pods: Counter,
    pub(crate) admission_rejections: Counter,
    pub(crate) preemptions: Counter,
    pub(crate) containers_per_pod: Histogram,
    pub(crate) ephemeral_containers: Gauge,
}

impl Metrics {
    /// Adds the families to `registry`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self {
            worker_duration: registry.histogram(
                "kubelet_pod_worker_duration_seconds",
                "Duration of one round of work for a pod, by what caused it: create, update or sync.",
                Alpha,
                &["operation_type"],
                PROM_DEFAULT_BUCKETS,
            ),
            worker_start: registry.histogram(
                "kubelet_pod_worker_start_duration_seconds",
                "Time from the first sight of a pod to the start of its worker.",
                Alpha,
                &[],
                PROM_DEFAULT_BUCKETS,
            ),
            working_pods: registry.gauge(
                "kubelet_working_pods",
                "Pods that a worker takes care of, by step of life, by where they are known from and whether static.",
                Alpha,
                &["lifecycle", "config", "static"],
            ),
            desired_pods: registry.gauge(
                "kubelet_desired_pods",
                "Pods that the sources ask for.",
                Alpha,
                &["static"],
            ),
            active_pods: registry.gauge(
                "kubelet_active_pods",
                "Pods that were admitted and have not ended.",
                Alpha,
                &["static"],
            ),
            restarted_pods: registry.counter(
                "kubelet_restarted_pods_total",
                "Pods that were wanted again under the same UID while they were being stopped.",
                Alpha,
                &["static"],
            ),
            orphaned_runtime_pods: registry.counter(
                "kubelet_orphaned_runtime_pods_total",
                "Pods found in the runtime that no source knows.",
                Alpha,
                &[],
            ),
            admission_rejections: registry.counter(
                "kubelet_admission_rejections_total",
                "Pods that were refused, by reason.",
                Alpha,
                &["reason"],
            ),
            preemptions: registry.counter(
                "kubelet_preemptions",
                "Pods that were stopped to make way for a critical one, by the resource that was short.",
                Alpha,
                &["preemption_signal"],
            ),
            containers_per_pod: registry.histogram(
                "kubelet_containers_per_pod_count",
                "Containers in the spec of each pod that came to the node, without init containers.",
                Alpha,
                &[],
                [1.0, 2.0, 4.0, 8.0, 16.0],
            ),
            ephemeral_containers: registry.gauge(
                "kubelet_managed_ephemeral_containers",
                "Ephemeral containers in pods that were admitted and have not ended.",
                Alpha,
                &[],
            ),
        }
    }
}
