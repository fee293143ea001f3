//! Keys of labels and annotations, on the API's objects and on the runtime's. They are the interface by which one
//! kubelet recognises the containers that another one started.

/// Label of sandboxes and containers: the pod's name.
pub const POD_NAME: &str = "io.kubernetes.pod.name";
/// Label of sandboxes and containers: the pod's namespace.
pub const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
/// Label of sandboxes and containers: the pod's UID.
pub const POD_UID: &str = "io.kubernetes.pod.uid";
/// Label of containers: the container's name in the pod's spec.
pub const CONTAINER_NAME: &str = "io.kubernetes.container.name";

/// Annotation of containers: hex FNV-1a-32 of the JSON of name and image.
pub const CONTAINER_HASH: &str = "io.kubernetes.container.hash";
/// Annotation of containers: how often it has been restarted.
pub const CONTAINER_RESTART_COUNT: &str = "io.kubernetes.container.restartCount";
/// Annotation of containers: where the termination message is read in the container.
pub const TERMINATION_MESSAGE_PATH: &str = "io.kubernetes.container.terminationMessagePath";
/// Annotation of containers: `File` or `FallbackToLogsOnError`.
pub const TERMINATION_MESSAGE_POLICY: &str = "io.kubernetes.container.terminationMessagePolicy";
/// Annotation of containers: the preStop hook as JSON, so that a kubelet that lost the pod can still run it.
pub const PRE_STOP_HANDLER: &str = "io.kubernetes.container.preStopHandler";
/// Annotation of containers: the ports as JSON, for hooks that name one.
pub const CONTAINER_PORTS: &str = "io.kubernetes.container.ports";
/// Annotation of containers: `deletionGracePeriodSeconds` of the pod.
pub const DELETION_GRACE_PERIOD: &str = "io.kubernetes.pod.deletionGracePeriod";
/// Annotation of containers: `spec.terminationGracePeriodSeconds` of the pod.
pub const TERMINATION_GRACE_PERIOD: &str = "io.kubernetes.pod.terminationGracePeriod";

/// Annotation of pods: which source it came from (`file`, `http`, `api`).
pub const CONFIG_SOURCE: &str = "kubernetes.io/config.source";
/// Annotation of pods: when this kubelet first saw it (RFC 3339 with nanoseconds).
pub const CONFIG_SEEN: &str = "kubernetes.io/config.seen";
/// Annotation of static pods: the hash of the manifest, which is also the UID.
pub const CONFIG_HASH: &str = "kubernetes.io/config.hash";
/// Annotation of mirror pods: the hash of the static pod that it mirrors.
pub const CONFIG_MIRROR: &str = "kubernetes.io/config.mirror";
/// Prefix of the deprecated AppArmor annotation; the container's name follows.
pub const APPARMOR_PREFIX: &str = "container.apparmor.security.beta.kubernetes.io/";
