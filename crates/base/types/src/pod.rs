//! Views over a `Pod`: questions that several crates ask of a spec, answered once.

use std::borrow::Cow;

use crate::corev1::{Container, EphemeralContainer, PodSpec};
use crate::{Pod, labels};

/// Priority from which on a pod is critical (`system-cluster-critical`).
pub const CRITICAL_PRIORITY: i32 = 2_000_000_000;

/// Shortest grace period a pod is given when it is deleted without force, in seconds.
pub const DEFAULT_GRACE_PERIOD_SECONDS: i64 = 30;

/// What part a container has in its pod.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ContainerKind {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`: started in its turn, then kept running.
    Sidecar,
    /// `spec.containers`.
    Regular,
    /// `spec.ephemeralContainers`.
    Ephemeral,
}

impl ContainerKind {
    /// The kind of an entry of `spec.initContainers`.
    #[must_use]
    pub fn of_init(container: &Container) -> Self {
        if container.restart_policy.as_deref() == Some("Always") { Self::Sidecar } else { Self::Init }
    }

    /// The field of the spec that holds it, as in an event's `fieldPath`.
    #[must_use]
    pub fn field(self) -> &'static str {
        match self {
            Self::Init | Self::Sidecar => "spec.initContainers",
            Self::Regular => "spec.containers",
            Self::Ephemeral => "spec.ephemeralContainers",
        }
    }

    /// The value of the metrics label `container_type`.
    #[must_use]
    pub fn metric_label(self) -> &'static str {
        match self {
            Self::Init | Self::Sidecar => "init_container",
            Self::Regular => "container",
            Self::Ephemeral => "ephemeral_container",
        }
    }
}

static NO_SPEC: PodSpecDefault = PodSpecDefault(std::sync::OnceLock::new());
struct PodSpecDefault(std::sync::OnceLock<PodSpec>);

/// The pod's spec. A pod without one (which no source lets through) has the empty spec.
#[must_use]
pub fn spec(pod: &Pod) -> &PodSpec {
    pod.spec.as_ref().unwrap_or_else(|| NO_SPEC.0.get_or_init(PodSpec::default))
}

/// Init containers and sidecars, in order.
#[must_use]
pub fn init_containers(pod: &Pod) -> &[Container] {
    spec(pod).init_containers.as_deref().unwrap_or_default()
}

/// Regular containers, in order.
#[must_use]
pub fn regular_containers(pod: &Pod) -> &[Container] {
    &spec(pod).containers
}

/// Ephemeral containers, in order.
#[must_use]
pub fn ephemeral_containers(pod: &Pod) -> &[EphemeralContainer] {
    spec(pod).ephemeral_containers.as_deref().unwrap_or_default()
}

/// All containers with their kinds: init containers and sidecars, regular ones, ephemeral ones (as the containers
/// that they become).
pub fn containers(pod: &Pod) -> impl Iterator<Item = (ContainerKind, Cow<'_, Container>)> {
    let init = init_containers(pod).iter().map(|c| (ContainerKind::of_init(c), Cow::Borrowed(c)));
    let regular = regular_containers(pod).iter().map(|c| (ContainerKind::Regular, Cow::Borrowed(c)));
    let ephemeral = ephemeral_containers(pod)
        .iter()
        .map(|c| (ContainerKind::Ephemeral, Cow::Owned(ephemeral_as_container(c))));
    init.chain(regular).chain(ephemeral)
}

/// The container `name`, with its kind.
#[must_use]
pub fn container<'a>(pod: &'a Pod, name: &str) -> Option<(ContainerKind, Cow<'a, Container>)> {
    containers(pod).find(|(_, container)| container.name == name)
}

/// An ephemeral container as a container: the same fields without the target.
#[must_use]
pub fn ephemeral_as_container(ephemeral: &EphemeralContainer) -> Container {
    let e = ephemeral.clone();
    Container {
        args: e.args,
        command: e.command,
        env: e.env,
        env_from: e.env_from,
        image: e.image,
        image_pull_policy: e.image_pull_policy,
        lifecycle: e.lifecycle,
        liveness_probe: e.liveness_probe,
        name: e.name,
        ports: e.ports,
        readiness_probe: e.readiness_probe,
        resize_policy: e.resize_policy,
        resources: e.resources,
        restart_policy: e.restart_policy,
        restart_policy_rules: e.restart_policy_rules,
        security_context: e.security_context,
        startup_probe: e.startup_probe,
        stdin: e.stdin,
        stdin_once: e.stdin_once,
        termination_message_path: e.termination_message_path,
        termination_message_policy: e.termination_message_policy,
        tty: e.tty,
        volume_devices: e.volume_devices,
        volume_mounts: e.volume_mounts,
        working_dir: e.working_dir,
    }
}

/// Whether the containers are in the node's network namespace.
#[must_use]
pub fn host_network(pod: &Pod) -> bool {
    spec(pod).host_network.unwrap_or(false)
}

/// The annotation `key` of the pod.
#[must_use]
pub fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Whether the pod comes from a file or a URL.
#[must_use]
pub fn is_static(pod: &Pod) -> bool {
    annotation(pod, labels::CONFIG_SOURCE).is_some_and(|source| source != "api")
}

/// Whether the pod is the API server's image of a static pod.
#[must_use]
pub fn is_mirror(pod: &Pod) -> bool {
    annotation(pod, labels::CONFIG_MIRROR).is_some()
}

/// Whether the pod is critical: static, mirror, or of a critical priority. Such a pod is never evicted.
#[must_use]
pub fn is_critical(pod: &Pod) -> bool {
    is_static(pod) || is_mirror(pod) || spec(pod).priority.is_some_and(|p| p >= CRITICAL_PRIORITY)
}

/// `spec.terminationGracePeriodSeconds`, in seconds.
#[must_use]
pub fn termination_grace_seconds(pod: &Pod) -> i64 {
    spec(pod).termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE_PERIOD_SECONDS)
}

/// Whether someone asked the API server to delete the pod.
#[must_use]
pub fn is_deleting(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the phase in the pod's own status is final.
#[must_use]
pub fn is_terminal(pod: &Pod) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).is_some_and(is_terminal_phase)
}

/// Whether `phase` is final.
#[must_use]
pub fn is_terminal_phase(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}
