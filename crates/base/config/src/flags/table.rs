//! The table of all flags.

use crate::flags::Kind;

/// Where a flag's value goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// To a field of the configuration, named by its path.
    Field(&'static str),
    /// To the field of [`Flags`](crate::Flags) with the flag's name.
    Own,
    /// Nowhere: what it configured is no part of this program.
    Nowhere,
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// Its name, without dashes in front.
    pub name: &'static str,
    /// How its value is read.
    pub kind: Kind,
    /// Where its value goes.
    pub target: Target,
    /// What to use instead, if it is deprecated.
    pub deprecated: Option<&'static str>,
    /// What it does; empty for a flag that sets a field, which says it.
    pub help: &'static str,
}

const fn own(name: &'static str, kind: Kind, help: &'static str) -> Flag {
    Flag { name, kind, target: Target::Own, deprecated: None, help }
}

const fn outdated(name: &'static str, kind: Kind, instead: &'static str, help: &'static str) -> Flag {
    Flag { name, kind, target: Target::Own, deprecated: Some(instead), help }
}

/// A flag that the configuration file took the place of.
const fn field(name: &'static str, kind: Kind, path: &'static str) -> Flag {
    Flag { name, kind, target: Target::Field(path), deprecated: Some(path), help: "" }
}

/// A flag that sets a field and is there to stay.
const fn lasting(name: &'static str, kind: Kind, path: &'static str) -> Flag {
    Flag { name, kind, target: Target::Field(path), deprecated: None, help: "" }
}

const fn nowhere(name: &'static str, kind: Kind) -> Flag {
    Flag {
        name,
        kind,
        target: Target::Nowhere,
        deprecated: Some("nothing, since no cAdvisor is part of this program, nor is Windows supported"),
        help: "Without effect",
    }
}

/// Every flag, as the help lists them.
pub const FLAGS: &[Flag] = &[
    own("config", Kind::Text, "Configuration file"),
    own(
        "config-dir",
        Kind::Text,
        "Directory of drop-in configuration files (*.conf), applied in the order of their names",
    ),
    own("kubeconfig", Kind::Text, "Credentials for the API server; without it, only static pods run"),
    own("bootstrap-kubeconfig", Kind::Text, "Credentials to get the first client certificate with"),
    own("hostname-override", Kind::Text, "Name of the node, instead of the host's name"),
    own("node-ip", Kind::Text, "IP address of the node, or one IPv4 and one IPv6 address"),
    own("cert-dir", Kind::Text, "Directory of certificates"),
    own("cloud-provider", Kind::Text, "\"external\" if a cloud controller initializes the node"),
    own("root-dir", Kind::Text, "Directory of state and volumes"),
    own("seccomp-default", Kind::Bool, "Use RuntimeDefault for pods without a seccomp profile"),
    own("node-labels", Kind::Map, "Labels that the node registers with"),
    own("runtime-cgroups", Kind::Text, "Cgroup of the container runtime"),
    own(
        "image-credential-provider-config",
        Kind::Text,
        "File or directory that configures credential providers",
    ),
    own("image-credential-provider-bin-dir", Kind::Text, "Directory of the credential providers' programs"),
    own("lock-file", Kind::Text, "File to lock while running"),
    own("exit-on-lock-contention", Kind::Bool, "End when another process wants the lock; needs --lock-file"),
    outdated(
        "minimum-container-ttl-duration",
        Kind::Duration,
        "eviction thresholds",
        "Age below which no dead container is removed",
    ),
    outdated(
        "maximum-dead-containers-per-container",
        Kind::Int32,
        "eviction thresholds",
        "Dead containers kept per container",
    ),
    outdated("maximum-dead-containers", Kind::Int32, "eviction thresholds", "Dead containers kept in all"),
    outdated(
        "experimental-mounter-path",
        Kind::Text,
        "mount programs in the host's path",
        "Program to mount with",
    ),
    outdated(
        "experimental-allocatable-ignore-eviction",
        Kind::Bool,
        "enforceNodeAllocatable",
        "Do not take hard eviction thresholds off from allocatable",
    ),
    own(
        "housekeeping-interval",
        Kind::Duration,
        "Shortest time between two looks at a container's use of resources",
    ),
    own(
        "max-housekeeping-interval",
        Kind::Duration,
        "Longest time between two looks at a container's use of resources",
    ),
    field("enable-server", Kind::Bool, "enableServer"),
    field("fail-swap-on", Kind::Bool, "failSwapOn"),
    field("pod-manifest-path", Kind::Text, "staticPodPath"),
    field("sync-frequency", Kind::Duration, "syncFrequency"),
    field("file-check-frequency", Kind::Duration, "fileCheckFrequency"),
    field("http-check-frequency", Kind::Duration, "httpCheckFrequency"),
    field("manifest-url", Kind::Text, "staticPodURL"),
    field("manifest-url-header", Kind::Headers, "staticPodURLHeader"),
    field("address", Kind::Text, "address"),
    field("port", Kind::Int32, "port"),
    field("read-only-port", Kind::Int32, "readOnlyPort"),
    lasting("fail-cgroupv1", Kind::Bool, "failCgroupV1"),
    field("container-runtime-endpoint", Kind::Text, "containerRuntimeEndpoint"),
    field("image-service-endpoint", Kind::Text, "imageServiceEndpoint"),
    field("anonymous-auth", Kind::Bool, "authentication.anonymous.enabled"),
    field("authentication-token-webhook", Kind::Bool, "authentication.webhook.enabled"),
    field("authentication-token-webhook-cache-ttl", Kind::Duration, "authentication.webhook.cacheTTL"),
    field("client-ca-file", Kind::Text, "authentication.x509.clientCAFile"),
    field("authorization-mode", Kind::Text, "authorization.mode"),
    field(
        "authorization-webhook-cache-authorized-ttl",
        Kind::Duration,
        "authorization.webhook.cacheAuthorizedTTL",
    ),
    field(
        "authorization-webhook-cache-unauthorized-ttl",
        Kind::Duration,
        "authorization.webhook.cacheUnauthorizedTTL",
    ),
    field("tls-cert-file", Kind::Text, "tlsCertFile"),
    field("tls-private-key-file", Kind::Text, "tlsPrivateKeyFile"),
    field("rotate-server-certificates", Kind::Bool, "serverTLSBootstrap"),
    field("tls-cipher-suites", Kind::List, "tlsCipherSuites"),
    field("tls-min-version", Kind::Text, "tlsMinVersion"),
    field("rotate-certificates", Kind::Bool, "rotateCertificates"),
    field("registry-qps", Kind::Int32, "registryPullQPS"),
    field("registry-burst", Kind::Int32, "registryBurst"),
    field("event-qps", Kind::Int32, "eventRecordQPS"),
    field("event-burst", Kind::Int32, "eventBurst"),
    field("enable-debugging-handlers", Kind::Bool, "enableDebuggingHandlers"),
    field("contention-profiling", Kind::Bool, "enableContentionProfiling"),
    field("healthz-port", Kind::Int32, "healthzPort"),
    field("healthz-bind-address", Kind::Text, "healthzBindAddress"),
    field("oom-score-adj", Kind::Int32, "oomScoreAdj"),
    field("cluster-domain", Kind::Text, "clusterDomain"),
    field("volume-plugin-dir", Kind::Text, "volumePluginDir"),
    field("cluster-dns", Kind::List, "clusterDNS"),
    field("streaming-connection-idle-timeout", Kind::Duration, "streamingConnectionIdleTimeout"),
    field("node-status-update-frequency", Kind::Duration, "nodeStatusUpdateFrequency"),
    field("minimum-image-ttl-duration", Kind::Duration, "imageMinimumGCAge"),
    field("image-gc-high-threshold", Kind::Int32, "imageGCHighThresholdPercent"),
    field("image-gc-low-threshold", Kind::Int32, "imageGCLowThresholdPercent"),
    field("volume-stats-agg-period", Kind::Duration, "volumeStatsAggPeriod"),
    field("feature-gates", Kind::Bools, "featureGates"),
    field("kubelet-cgroups", Kind::Text, "kubeletCgroups"),
    field("system-cgroups", Kind::Text, "systemCgroups"),
    lasting("provider-id", Kind::Text, "providerID"),
    field("cgroups-per-qos", Kind::Bool, "cgroupsPerQOS"),
    field("cgroup-driver", Kind::Text, "cgroupDriver"),
    field("cgroup-root", Kind::Text, "cgroupRoot"),
    field("cpu-manager-policy", Kind::Text, "cpuManagerPolicy"),
    field("cpu-manager-policy-options", Kind::Map, "cpuManagerPolicyOptions"),
    field("cpu-manager-reconcile-period", Kind::Duration, "cpuManagerReconcilePeriod"),
    field("qos-reserved", Kind::Map, "qosReserved"),
    field("topology-manager-policy", Kind::Text, "topologyManagerPolicy"),
    field("topology-manager-scope", Kind::Text, "topologyManagerScope"),
    field("topology-manager-policy-options", Kind::Map, "topologyManagerPolicyOptions"),
    field("runtime-request-timeout", Kind::Duration, "runtimeRequestTimeout"),
    field("hairpin-mode", Kind::Text, "hairpinMode"),
    field("max-pods", Kind::Int32, "maxPods"),
    field("pod-cidr", Kind::Text, "podCIDR"),
    field("pod-max-pids", Kind::Int64, "podPidsLimit"),
    field("resolv-conf", Kind::Text, "resolvConf"),
    field("runonce", Kind::Bool, "runOnce"),
    field("cpu-cfs-quota", Kind::Bool, "cpuCFSQuota"),
    field("cpu-cfs-quota-period", Kind::Duration, "cpuCFSQuotaPeriod"),
    field("enable-controller-attach-detach", Kind::Bool, "enableControllerAttachDetach"),
    field("make-iptables-util-chains", Kind::Bool, "makeIPTablesUtilChains"),
    field("container-log-max-size", Kind::Text, "containerLogMaxSize"),
    field("container-log-max-files", Kind::Int32, "containerLogMaxFiles"),
    field("allowed-unsafe-sysctls", Kind::List, "allowedUnsafeSysctls"),
    field("node-status-max-images", Kind::Int32, "nodeStatusMaxImages"),
    field("kernel-memcg-notification", Kind::Bool, "kernelMemcgNotification"),
    field("local-storage-capacity-isolation", Kind::Bool, "localStorageCapacityIsolation"),
    field("max-open-files", Kind::Int64, "maxOpenFiles"),
    field("kube-api-content-type", Kind::Text, "contentType"),
    field("kube-api-qps", Kind::Int32, "kubeAPIQPS"),
    field("kube-api-burst", Kind::Int32, "kubeAPIBurst"),
    field("serialize-image-pulls", Kind::Bool, "serializeImagePulls"),
    field("eviction-hard", Kind::Thresholds, "evictionHard"),
    field("eviction-soft", Kind::Thresholds, "evictionSoft"),
    field("eviction-soft-grace-period", Kind::Map, "evictionSoftGracePeriod"),
    field("eviction-pressure-transition-period", Kind::Duration, "evictionPressureTransitionPeriod"),
    field("eviction-max-pod-grace-period", Kind::Int32, "evictionMaxPodGracePeriod"),
    field("eviction-minimum-reclaim", Kind::Map, "evictionMinimumReclaim"),
    field("pods-per-core", Kind::Int32, "podsPerCore"),
    field("protect-kernel-defaults", Kind::Bool, "protectKernelDefaults"),
    field("reserved-cpus", Kind::Text, "reservedSystemCPUs"),
    field("system-reserved", Kind::Map, "systemReserved"),
    field("kube-reserved", Kind::Map, "kubeReserved"),
    field("enforce-node-allocatable", Kind::List, "enforceNodeAllocatable"),
    field("system-reserved-cgroup", Kind::Text, "systemReservedCgroup"),
    field("kube-reserved-cgroup", Kind::Text, "kubeReservedCgroup"),
    field("logging-format", Kind::Text, "logging.format"),
    lasting("log-flush-frequency", Kind::Duration, "logging.flushFrequency"),
    lasting("v", Kind::Level, "logging.verbosity"),
    lasting("vmodule", Kind::Verbosities, "logging.vmodule"),
    field("log-text-split-stream", Kind::Bool, "logging.options.text.splitStream"),
    field("log-text-info-buffer-size", Kind::Text, "logging.options.text.infoBufferSize"),
    field("log-json-split-stream", Kind::Bool, "logging.options.json.splitStream"),
    field("log-json-info-buffer-size", Kind::Text, "logging.options.json.infoBufferSize"),
    field("memory-manager-policy", Kind::Text, "memoryManagerPolicy"),
    field("reserved-memory", Kind::ReservedMemory, "reservedMemory"),
    field("register-node", Kind::Bool, "registerNode"),
    field("register-with-taints", Kind::Taints, "registerWithTaints"),
    nowhere("application-metrics-count-limit", Kind::Int32),
    nowhere("boot-id-file", Kind::Text),
    nowhere("container-hints", Kind::Text),
    nowhere("containerd", Kind::Text),
    nowhere("containerd-namespace", Kind::Text),
    nowhere("enable-load-reader", Kind::Bool),
    nowhere("event-storage-age-limit", Kind::Text),
    nowhere("event-storage-event-limit", Kind::Text),
    nowhere("global-housekeeping-interval", Kind::Duration),
    nowhere("log-cadvisor-usage", Kind::Bool),
    nowhere("machine-id-file", Kind::Text),
    nowhere("storage-driver-user", Kind::Text),
    nowhere("storage-driver-password", Kind::Text),
    nowhere("storage-driver-host", Kind::Text),
    nowhere("storage-driver-db", Kind::Text),
    nowhere("storage-driver-table", Kind::Text),
    nowhere("storage-driver-secure", Kind::Bool),
    nowhere("storage-driver-buffer-duration", Kind::Duration),
    nowhere("windows-service", Kind::Bool),
    nowhere("windows-priorityclass", Kind::Text),
];

/// The flag named `name`.
pub(crate) fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}
