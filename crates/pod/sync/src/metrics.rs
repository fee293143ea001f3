//! Metrics of starting and stopping (names, labels and buckets are the kubelet's).

use telemetry::metrics::{
    Counter, Histogram, Registry,
    Stability::{Alpha, Beta},
};

const POD_START_BUCKETS: &[f64] = &[
    0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 20.0, 30.0, 45.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0,
    480.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0,
];

/// The families that the executor feeds.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) started_pods: Counter,
    pub(crate) started_pods_errors: Counter,
    pub(crate) started_containers: Counter,
    pub(crate) started_containers_errors: Counter,
    pub(crate) pod_start_duration: Histogram,
    pub(crate) sleep_terminated_early: Counter,
    pub(crate) image_volumes_requested: Counter,
    pub(crate) image_volumes_mounted: Counter,
    pub(crate) image_volumes_failed: Counter,
    pub(crate) started_userns_pods: Counter,
    pub(crate) started_userns_pods_errors: Counter,
    pub(crate) http_fallbacks: Counter,
}

impl Metrics {
    /// Adds the families to `registry`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self {
            started_pods: registry.counter(
                "kubelet_started_pods_total",
                "Pods whose sandbox was to be made.",
                Alpha,
                &[],
            ),
            started_pods_errors: registry.counter(
                "kubelet_started_pods_errors_total",
                "Pods whose sandbox could not be made.",
                Alpha,
                &[],
            ),
            started_containers: registry.counter(
                "kubelet_started_containers_total",
                "Containers that were to be started, by kind.",
                Alpha,
                &["container_type"],
            ),
            started_containers_errors: registry.counter(
                "kubelet_started_containers_errors_total",
                "Containers that could not be started, by kind and reason.",
                Alpha,
                &["container_type", "code"],
            ),
            pod_start_duration: registry.histogram(
                "kubelet_pod_start_duration_seconds",
                "Time from the first sight of a pod to the start of its containers.",
                Alpha,
                &[],
                POD_START_BUCKETS,
            ),
            http_fallbacks: registry.counter(
                "kubelet_lifecycle_handler_http_fallbacks_total",
                "HTTPS hooks that were answered in HTTP and made again so.",
                Alpha,
                &[],
            ),
            image_volumes_requested: registry.counter(
                "kubelet_image_volume_requested_total",
                "Image volumes that were to be mounted.",
                Beta,
                &[],
            ),
            image_volumes_mounted: registry.counter(
                "kubelet_image_volume_mounted_succeed_total",
                "Image volumes whose image was ready for the runtime to mount.",
                Beta,
                &[],
            ),
            image_volumes_failed: registry.counter(
                "kubelet_image_volume_mounted_errors_total",
                "Image volumes whose image could not be had.",
                Beta,
                &[],
            ),
            started_userns_pods: registry.counter(
                "kubelet_started_user_namespaced_pods_total",
                "Pods with a user namespace of their own whose sandbox was to be made.",
                Alpha,
                &[],
            ),
            started_userns_pods_errors: registry.counter(
                "kubelet_started_user_namespaced_pods_errors_total",
                "Pods with a user namespace of their own whose sandbox could not be made.",
                Alpha,
                &[],
            ),
            sleep_terminated_early: registry.counter(
                "kubelet_sleep_action_terminated_early_total",
                "Sleep hooks that were cut short by the end of the grace period.",
                Alpha,
                &[],
            ),
        }
    }
}
