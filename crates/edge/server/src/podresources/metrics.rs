//! What is counted about the PodResources service, under the kubelet's names.

use telemetry::metrics::{Counter, Registry, Stability};

/// Calls to the PodResources service.
#[derive(Clone)]
pub struct Metrics {
    pub(crate) requests: Counter,
    pub(crate) lists: Counter,
    pub(crate) allocatables: Counter,
    pub(crate) gets: Counter,
    pub(crate) get_errors: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &Registry) -> Self {
        let counter = |name, help| registry.counter(name, help, Stability::Alpha, &["server_api_version"]);
        Self {
            requests: counter(
                "kubelet_pod_resources_endpoint_requests_total",
                "Calls to the PodResources service, by its version.",
            ),
            lists: counter(
                "kubelet_pod_resources_endpoint_requests_list",
                "Calls of List of the PodResources service, by its version.",
            ),
            allocatables: counter(
                "kubelet_pod_resources_endpoint_requests_get_allocatable",
                "Calls of GetAllocatableResources of the PodResources service, by its version.",
            ),
            gets: counter(
                "kubelet_pod_resources_endpoint_requests_get",
                "Calls of Get of the PodResources service, by its version.",
            ),
            get_errors: counter(
                "kubelet_pod_resources_endpoint_errors_get",
                "Calls of Get of the PodResources service that named no pod that runs, by its version.",
            ),
        }
    }
}
