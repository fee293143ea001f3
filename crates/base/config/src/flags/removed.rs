//! Flags of older kubelets. They are accepted, so that a unit file that still has one keeps working.

/// A flag that does nothing any more.
#[derive(Clone, Copy, Debug)]
pub struct Removed {
    /// Its name, without dashes in front.
    pub name: &'static str,
    /// Whether it could stand without a value.
    pub bool: bool,
    /// What took its place.
    pub instead: &'static str,
}

const fn text(name: &'static str, instead: &'static str) -> Removed {
    Removed { name, bool: false, instead }
}

const fn bool(name: &'static str, instead: &'static str) -> Removed {
    Removed { name, bool: true, instead }
}

const CNI: &str = "the container runtime's configuration, which sets up the network";
const RUNTIME: &str = "--container-runtime-endpoint";
const ADMISSION: &str = "the API server's admission control (Pod Security)";
const SERVICE: &str = "the service manager, which keeps what is written to stderr";

/// Every removed flag that is known.
pub const REMOVED: &[Removed] = &[
    text("image-pull-progress-deadline", "the container runtime's configuration: pulls are the runtime's"),
    text("network-plugin", CNI),
    text("network-plugin-dir", CNI),
    text("network-plugin-mtu", CNI),
    text("cni-bin-dir", CNI),
    text("cni-conf-dir", CNI),
    text("cni-cache-dir", CNI),
    text("non-masquerade-cidr", "the network plugin's configuration"),
    bool("configure-cbr0", "the network plugin's configuration"),
    bool("reconcile-cidr", "the network plugin's configuration"),
    text(
        "pod-infra-container-image",
        "the container runtime's configuration: the pause image is the runtime's",
    ),
    text("container-runtime", "nothing, since every runtime is reached through --container-runtime-endpoint"),
    bool("redirect-container-streaming", "nothing, since streams always go through the node agent"),
    text(
        "pleg-relist-period",
        "nothing, since the runtime's events are used, and a relist is only the safety net",
    ),
    text("cloud-config", "the cloud controller's own configuration"),
    bool("register-schedulable", "registerWithTaints"),
    bool("keep-terminated-pod-volumes", "nothing, since volumes go with their pod"),
    text("dynamic-config-dir", "--config and --config-dir"),
    text("bootstrap-checkpoint-path", "staticPodPath"),
    text("iptables-masquerade-bit", "nothing, since it is the proxy's concern"),
    text("iptables-drop-bit", "nothing, since it is the proxy's concern"),
    text("seccomp-profile-root", "nothing, since profiles are in the directory seccomp of --root-dir"),
    bool("allow-privileged", ADMISSION),
    text("host-network-sources", ADMISSION),
    text("host-pid-sources", ADMISSION),
    text("host-ipc-sources", ADMISSION),
    text("cadvisor-port", "the server's /metrics/cadvisor"),
    bool("enable-cadvisor-json-endpoints", "the server's /metrics/cadvisor"),
    bool("require-kubeconfig", "--kubeconfig"),
    text("api-servers", "--kubeconfig"),
    text("auth-path", "--kubeconfig"),
    text("master-service-namespace", "nothing"),
    bool("enable-custom-metrics", "nothing"),
    bool("babysit-daemons", "the service manager"),
    text("chaos-chance", "nothing"),
    bool("really-crash-for-testing", "nothing"),
    text("low-diskspace-threshold-mb", "evictionHard"),
    text("outofdisk-transition-frequency", "evictionPressureTransitionPeriod"),
    text("azure-container-registry-config", "--image-credential-provider-config"),
    text("rkt-path", RUNTIME),
    text("rkt-api-endpoint", RUNTIME),
    text("rkt-stage1-image", RUNTIME),
    text("docker", RUNTIME),
    text("docker-endpoint", RUNTIME),
    text("docker-exec-handler", RUNTIME),
    bool("docker-disable-shared-pid", "the pod's shareProcessNamespace"),
    text("docker-env-metadata-whitelist", "nothing"),
    bool("docker-only", "nothing"),
    text("docker-root", "nothing"),
    bool("docker-tls", RUNTIME),
    text("docker-tls-ca", RUNTIME),
    text("docker-tls-cert", RUNTIME),
    text("docker-tls-key", RUNTIME),
    text("experimental-allowed-unsafe-sysctls", "allowedUnsafeSysctls"),
    text("experimental-bootstrap-kubeconfig", "--bootstrap-kubeconfig"),
    bool("experimental-cgroups-per-qos", "cgroupsPerQOS"),
    bool("experimental-check-node-capabilities-before-mount", "nothing, since mounts say what they lack"),
    bool("experimental-cri", "nothing, since CRI is always used"),
    bool("experimental-dockershim", RUNTIME),
    text("experimental-dockershim-root-directory", RUNTIME),
    bool("experimental-fail-swap-on", "failSwapOn"),
    bool("experimental-flannel-overlay", "the network plugin's configuration"),
    bool("experimental-kernel-memcg-notification", "kernelMemcgNotification"),
    bool("experimental-logging-sanitization", "nothing"),
    text("experimental-nvidia-gpus", "device plugins"),
    text("experimental-qos-reserved", "qosReserved"),
    text("experimental-runtime-integration-type", "nothing"),
    bool("logtostderr", SERVICE),
    bool("alsologtostderr", SERVICE),
    text("log-dir", SERVICE),
    text("log-file", SERVICE),
    text("log-file-max-size", SERVICE),
    text("log-backtrace-at", "nothing"),
    text("stderrthreshold", SERVICE),
    bool("add-dir-header", "nothing"),
    bool("skip-headers", "nothing"),
    bool("skip-log-headers", "nothing"),
    bool("one-output", "nothing"),
    text("show-hidden-metrics-for-version", "showHiddenMetricsForVersion"),
];

/// The removed flag named `name`.
pub(crate) fn find(name: &str) -> Option<&'static Removed> {
    REMOVED.iter().find(|flag| flag.name == name)
}
