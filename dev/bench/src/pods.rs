//! The pods that everybody is measured on: one container that ends at once when it is told to.

use std::sync::Arc;

use testkit::pod::{PodBuilder, pod};
use types::Pod;

/// As PID 1 a program without a handler ignores SIGTERM, and every stop would take the whole grace period.
const SCRIPT: &str = "trap 'exit 0' TERM; while :; do sleep 100000 & wait; done";

/// The container's name.
pub(crate) const CONTAINER: &str = "main";

fn builder(name: &str) -> PodBuilder {
    pod(name).container(CONTAINER, &["sh", "-c", SCRIPT])
}

/// The name of a burst's pod.
pub(crate) fn name(number: usize) -> String {
    format!("bench-{number}")
}

/// The manifest of the pod.
pub(crate) fn manifest(name: &str) -> String {
    builder(name).manifest()
}

/// The pod itself.
pub(crate) fn built(name: &str) -> Arc<Pod> {
    builder(name).build()
}
