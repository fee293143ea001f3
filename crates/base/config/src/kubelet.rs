//! `KubeletConfiguration` of the group `kubelet.config.k8s.io/v1beta1`, with Kubernetes 1.36's defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::choice::{
    AuthorizationMode, CgroupDriver, ChangeDetection, CpuManagerPolicy, HairpinMode, MemoryManagerPolicy,
    MemoryReservation, PullVerification, SwapBehavior, TopologyPolicy, TopologyScope,
};
use crate::duration::Duration;
use crate::logging::Logging;

/// The `apiVersion` of a configuration file.
pub const API_VERSION: &str = "kubelet.config.k8s.io/v1beta1";
/// The `kind` of a configuration file.
pub const KIND: &str = "KubeletConfiguration";

/// The node agent's configuration: effective values, so a field is an `Option` only where "not set" means something
/// that no value does. Empty text and empty paths mean "none".
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KubeletConfiguration {
    /// Whether the HTTPS server runs.
    pub enable_server: bool,
    /// Directory or file of static pods; empty for none.
    pub static_pod_path: PathBuf,
    /// Root of the pods' log directories.
    pub pod_logs_dir: PathBuf,
    /// Longest time between two syncs of a pod.
    pub sync_frequency: Duration,
    /// Time between two scans of `static_pod_path`.
    pub file_check_frequency: Duration,
    /// Time between two requests of `static_pod_url`.
    pub http_check_frequency: Duration,
    /// URL of static pods; empty for none.
    #[serde(rename = "staticPodURL")]
    pub static_pod_url: String,
    /// HTTP headers sent to `static_pod_url`.
    #[serde(rename = "staticPodURLHeader")]
    pub static_pod_url_header: Headers,
    /// IP address that the HTTPS server listens on.
    pub address: String,
    /// Port of the HTTPS server.
    pub port: i32,
    /// Port of the server without authentication; 0 for none.
    pub read_only_port: i32,
    /// Serving certificate; empty for a self-signed one.
    pub tls_cert_file: PathBuf,
    /// Key of `tls_cert_file`.
    pub tls_private_key_file: PathBuf,
    /// Go's names of the cipher suites for TLS 1.2; empty for all good ones.
    pub tls_cipher_suites: Vec<String>,
    /// Go's numbers of the curves; empty for all good ones.
    pub tls_curve_preferences: Vec<i32>,
    /// Least TLS version (`VersionTLS12`); empty for TLS 1.2.
    pub tls_min_version: String,
    /// Whether the client certificate is renewed.
    pub rotate_certificates: bool,
    /// Whether the serving certificate is requested from the cluster.
    #[serde(rename = "serverTLSBootstrap")]
    pub server_tls_bootstrap: bool,
    /// Who a client of the server is.
    pub authentication: Authentication,
    /// What a client of the server may do.
    pub authorization: Authorization,
    /// Image pulls per second; 0 for no limit.
    #[serde(rename = "registryPullQPS")]
    pub registry_pull_qps: i32,
    /// Image pulls that may come at once.
    pub registry_burst: i32,
    /// When a pod must show that it may use an image.
    pub image_pull_credentials_verification_policy: PullVerification,
    /// Images that any pod may use.
    pub preloaded_images_verification_allowlist: Vec<String>,
    /// Events sent per second; 0 for no limit.
    #[serde(rename = "eventRecordQPS")]
    pub event_record_qps: i32,
    /// Events that may be sent at once.
    pub event_burst: i32,
    /// Whether the server offers exec, attach, logs and port forwarding.
    pub enable_debugging_handlers: bool,
    /// Whether lock contention is profiled.
    pub enable_contention_profiling: bool,
    /// Port of the healthz server; 0 for none.
    pub healthz_port: i32,
    /// IP address that the healthz server listens on.
    pub healthz_bind_address: String,
    /// The process' own `oom_score_adj`.
    pub oom_score_adj: i32,
    /// DNS search domain of the cluster.
    pub cluster_domain: String,
    /// IP addresses of the cluster's name servers.
    #[serde(rename = "clusterDNS")]
    pub cluster_dns: Vec<String>,
    /// How long a stream to a container (exec, attach, port-forward) may be silent before it is closed.
    pub streaming_connection_idle_timeout: Duration,
    /// Time between two computations of the node's status.
    pub node_status_update_frequency: Duration,
    /// Time between two reports of an unchanged node status.
    pub node_status_report_frequency: Duration,
    /// How long the node's lease lasts; it is renewed after a quarter of it.
    pub node_lease_duration_seconds: i32,
    /// Age below which no unused image is removed.
    #[serde(rename = "imageMinimumGCAge")]
    pub image_minimum_gc_age: Duration,
    /// Age above which an unused image is removed; 0 for never.
    #[serde(rename = "imageMaximumGCAge")]
    pub image_maximum_gc_age: Duration,
    /// Use of the disk at which images are removed.
    #[serde(rename = "imageGCHighThresholdPercent")]
    pub image_gc_high_threshold_percent: i32,
    /// Use of the disk down to which images are removed.
    #[serde(rename = "imageGCLowThresholdPercent")]
    pub image_gc_low_threshold_percent: i32,
    /// Time between two measurements of a volume; negative for never.
    pub volume_stats_agg_period: Duration,
    /// Cgroup that the process moves to.
    pub kubelet_cgroups: String,
    /// Cgroup that all other processes are moved to.
    pub system_cgroups: String,
    /// Cgroup under which pods are; empty for the root.
    pub cgroup_root: String,
    /// Whether pods are in a tree of QoS cgroups.
    #[serde(rename = "cgroupsPerQOS")]
    pub cgroups_per_qos: bool,
    /// Who makes cgroups, unless the runtime tells.
    pub cgroup_driver: CgroupDriver,
    /// How CPUs are given to containers.
    pub cpu_manager_policy: CpuManagerPolicy,
    /// Whether only one process of a container is killed for memory (unset: on cgroup v2 all, on v1 one).
    #[serde(rename = "singleProcessOOMKill", skip_serializing_if = "Option::is_none")]
    pub single_process_oom_kill: Option<bool>,
    /// Options of `cpu_manager_policy`.
    pub cpu_manager_policy_options: BTreeMap<String, String>,
    /// Time between two corrections of cpusets.
    pub cpu_manager_reconcile_period: Duration,
    /// How memory is given to containers.
    pub memory_manager_policy: MemoryManagerPolicy,
    /// How resources are aligned to NUMA nodes.
    pub topology_manager_policy: TopologyPolicy,
    /// What is aligned.
    pub topology_manager_scope: TopologyScope,
    /// Options of `topology_manager_policy`.
    pub topology_manager_policy_options: BTreeMap<String, String>,
    /// Share of the memory requests kept from lower QoS classes.
    pub qos_reserved: BTreeMap<String, String>,
    /// Deadline of runtime calls, except for pulls, logs, exec and attach.
    pub runtime_request_timeout: Duration,
    /// Without effect.
    pub hairpin_mode: HairpinMode,
    /// Pods that the node takes.
    pub max_pods: i32,
    /// Pods' network, where no control plane gives one.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: String,
    /// Processes per pod; -1 for no limit.
    pub pod_pids_limit: i64,
    /// Resolver file that pods' are made from; empty for none.
    pub resolv_conf: PathBuf,
    /// A mode that is gone; must be false.
    pub run_once: bool,
    /// Whether CPU limits are enforced.
    #[serde(rename = "cpuCFSQuota")]
    pub cpu_cfs_quota: bool,
    /// Period of CPU limits.
    #[serde(rename = "cpuCFSQuotaPeriod")]
    pub cpu_cfs_quota_period: Duration,
    /// Images listed in the node's status; -1 for all.
    pub node_status_max_images: i32,
    /// The process' own limit of open files.
    pub max_open_files: i64,
    /// Content type of requests to the API server.
    pub content_type: String,
    /// Requests per second to the API server.
    #[serde(rename = "kubeAPIQPS")]
    pub kube_api_qps: i32,
    /// Requests to the API server that may come at once.
    #[serde(rename = "kubeAPIBurst")]
    pub kube_api_burst: i32,
    /// Whether images are pulled one at a time. False by default if `max_parallel_image_pulls` is more than 1.
    pub serialize_image_pulls: bool,
    /// Image pulls at a time; unset for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallel_image_pulls: Option<i32>,
    /// Signals and thresholds at which pods are evicted at once.
    pub eviction_hard: BTreeMap<String, String>,
    /// Signals and thresholds at which pods are evicted after a grace period.
    pub eviction_soft: BTreeMap<String, String>,
    /// Signals and grace periods of `eviction_soft`.
    pub eviction_soft_grace_period: BTreeMap<String, String>,
    /// How long a pressure condition stays after the last signal.
    pub eviction_pressure_transition_period: Duration,
    /// Cap of a pod's grace period in a soft eviction, in seconds.
    pub eviction_max_pod_grace_period: i32,
    /// Signals and how much more is reclaimed than was missing.
    pub eviction_minimum_reclaim: BTreeMap<String, String>,
    /// Whether signals that `eviction_hard` does not name get their default threshold.
    pub merge_default_eviction_settings: bool,
    /// Pods per CPU, if that is less than `max_pods`; 0 for no such limit.
    pub pods_per_core: i32,
    /// Whether the controller attaches volumes.
    pub enable_controller_attach_detach: bool,
    /// Whether kernel settings that are not as needed are an error, instead of set.
    pub protect_kernel_defaults: bool,
    /// Whether marker chains are kept in iptables.
    #[serde(rename = "makeIPTablesUtilChains")]
    pub make_ip_tables_util_chains: bool,
    /// Without effect.
    pub iptables_masquerade_bit: i32,
    /// Without effect.
    pub iptables_drop_bit: i32,
    /// Feature gates that are switched.
    pub feature_gates: BTreeMap<String, bool>,
    /// Whether swap on the node is an error at start.
    pub fail_swap_on: bool,
    /// Swap of containers.
    pub memory_swap: MemorySwap,
    /// Size (a quantity) at which a container log is rotated.
    pub container_log_max_size: String,
    /// Log files kept per container.
    pub container_log_max_files: i32,
    /// Log rotations at a time.
    pub container_log_max_workers: i32,
    /// Time between two looks at log sizes.
    pub container_log_monitor_interval: Duration,
    /// How changes of ConfigMaps and Secrets are noticed.
    pub config_map_and_secret_change_detection_strategy: ChangeDetection,
    /// Resources kept for system daemons.
    pub system_reserved: BTreeMap<String, String>,
    /// Resources kept for Kubernetes' daemons.
    pub kube_reserved: BTreeMap<String, String>,
    /// CPUs (a cpuset list) kept for all of those; overrides the `cpu` of both.
    #[serde(rename = "reservedSystemCPUs")]
    pub reserved_system_cpus: String,
    /// Version whose hidden metrics are shown.
    pub show_hidden_metrics_for_version: String,
    /// Cgroup on which `system_reserved` is enforced.
    pub system_reserved_cgroup: String,
    /// Cgroup on which `kube_reserved` is enforced.
    pub kube_reserved_cgroup: String,
    /// On whom allocatable is enforced.
    pub enforce_node_allocatable: Vec<String>,
    /// Unsafe sysctls (or prefixes with `*`) that pods may set.
    pub allowed_unsafe_sysctls: Vec<String>,
    /// Directory of FlexVolume drivers.
    pub volume_plugin_dir: PathBuf,
    /// `spec.providerID` of the node.
    #[serde(rename = "providerID")]
    pub provider_id: String,
    /// Whether the kernel tells of memory pressure.
    pub kernel_memcg_notification: bool,
    /// How logs are written.
    pub logging: Logging,
    /// Whether the server offers `/logs/`.
    pub enable_system_log_handler: bool,
    /// Whether `/logs/` takes queries.
    pub enable_system_log_query: bool,
    /// How long a shutdown of the node waits for pods; 0 for not.
    pub shutdown_grace_period: Duration,
    /// The last part of it, for critical pods.
    pub shutdown_grace_period_critical_pods: Duration,
    /// Grace periods by priority, instead of the two above.
    pub shutdown_grace_period_by_pod_priority: Vec<ShutdownByPriority>,
    /// How long a crashing container waits.
    pub crash_loop_back_off: CrashLoopBackOff,
    /// Memory reserved on NUMA nodes.
    pub reserved_memory: Vec<ReservedMemory>,
    /// Whether the server offers profiles.
    pub enable_profiling_handler: bool,
    /// Whether the server lets verbosity be changed.
    pub enable_debug_flags_handler: bool,
    /// Whether pods without a seccomp profile get `RuntimeDefault`.
    pub seccomp_default: bool,
    /// Share of a memory limit at which containers are slowed down.
    pub memory_throttling_factor: f64,
    /// Whether memory requests are protected.
    pub memory_reservation_policy: MemoryReservation,
    /// Taints that the node registers with.
    pub register_with_taints: Vec<Taint>,
    /// Whether the node registers itself.
    pub register_node: bool,
    /// Where traces go; unset for nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<Tracing>,
    /// Whether ephemeral storage is a resource.
    pub local_storage_capacity_isolation: bool,
    /// Socket of the runtime.
    pub container_runtime_endpoint: String,
    /// Socket of the image service; empty for the runtime's.
    pub image_service_endpoint: String,
    /// Whether a cgroup v1 node is an error at start.
    pub fail_cgroup_v1: bool,
    /// User namespaces of pods.
    pub user_namespaces: UserNamespaces,
}

impl Default for KubeletConfiguration {
    fn default() -> Self {
        Self {
            enable_server: true,
            static_pod_path: PathBuf::new(),
            pod_logs_dir: "/var/log/pods".into(),
            sync_frequency: Duration::seconds(60),
            file_check_frequency: Duration::seconds(20),
            http_check_frequency: Duration::seconds(20),
            static_pod_url: String::new(),
            static_pod_url_header: Headers::default(),
            address: "0.0.0.0".into(),
            port: 10250,
            read_only_port: 0,
            tls_cert_file: PathBuf::new(),
            tls_private_key_file: PathBuf::new(),
            tls_cipher_suites: Vec::new(),
            tls_curve_preferences: Vec::new(),
            tls_min_version: String::new(),
            rotate_certificates: false,
            server_tls_bootstrap: false,
            authentication: Authentication::default(),
            authorization: Authorization::default(),
            registry_pull_qps: 5,
            registry_burst: 10,
            image_pull_credentials_verification_policy: PullVerification::NeverVerifyPreloadedImages,
            preloaded_images_verification_allowlist: Vec::new(),
            event_record_qps: 50,
            event_burst: 100,
            enable_debugging_handlers: true,
            enable_contention_profiling: false,
            healthz_port: 10248,
            healthz_bind_address: "127.0.0.1".into(),
            oom_score_adj: -999,
            cluster_domain: String::new(),
            cluster_dns: Vec::new(),
            streaming_connection_idle_timeout: Duration::seconds(4 * 3600),
            node_status_update_frequency: Duration::seconds(10),
            node_status_report_frequency: Duration::seconds(300),
            node_lease_duration_seconds: 40,
            image_minimum_gc_age: Duration::seconds(120),
            image_maximum_gc_age: Duration::ZERO,
            image_gc_high_threshold_percent: 85,
            image_gc_low_threshold_percent: 80,
            volume_stats_agg_period: Duration::seconds(60),
            kubelet_cgroups: String::new(),
            system_cgroups: String::new(),
            cgroup_root: String::new(),
            cgroups_per_qos: true,
            cgroup_driver: CgroupDriver::Cgroupfs,
            cpu_manager_policy: CpuManagerPolicy::None,
            single_process_oom_kill: None,
            cpu_manager_policy_options: BTreeMap::new(),
            cpu_manager_reconcile_period: Duration::seconds(10),
            memory_manager_policy: MemoryManagerPolicy::None,
            topology_manager_policy: TopologyPolicy::None,
            topology_manager_scope: TopologyScope::Container,
            topology_manager_policy_options: BTreeMap::new(),
            qos_reserved: BTreeMap::new(),
            runtime_request_timeout: Duration::seconds(120),
            hairpin_mode: HairpinMode::PromiscuousBridge,
            max_pods: 110,
            pod_cidr: String::new(),
            pod_pids_limit: -1,
            resolv_conf: "/etc/resolv.conf".into(),
            run_once: false,
            cpu_cfs_quota: true,
            cpu_cfs_quota_period: Duration::millis(100),
            node_status_max_images: 50,
            max_open_files: 1_000_000,
            content_type: "application/vnd.kubernetes.protobuf".into(),
            kube_api_qps: 50,
            kube_api_burst: 100,
            serialize_image_pulls: true,
            max_parallel_image_pulls: None,
            eviction_hard: BTreeMap::new(),
            eviction_soft: BTreeMap::new(),
            eviction_soft_grace_period: BTreeMap::new(),
            eviction_pressure_transition_period: Duration::seconds(300),
            eviction_max_pod_grace_period: 0,
            eviction_minimum_reclaim: BTreeMap::new(),
            merge_default_eviction_settings: false,
            pods_per_core: 0,
            enable_controller_attach_detach: true,
            protect_kernel_defaults: false,
            make_ip_tables_util_chains: true,
            iptables_masquerade_bit: 14,
            iptables_drop_bit: 15,
            feature_gates: BTreeMap::new(),
            fail_swap_on: true,
            memory_swap: MemorySwap::default(),
            container_log_max_size: "10Mi".into(),
            container_log_max_files: 5,
            container_log_max_workers: 1,
            container_log_monitor_interval: Duration::seconds(10),
            config_map_and_secret_change_detection_strategy: ChangeDetection::Watch,
            system_reserved: BTreeMap::new(),
            kube_reserved: BTreeMap::new(),
            reserved_system_cpus: String::new(),
            show_hidden_metrics_for_version: String::new(),
            system_reserved_cgroup: String::new(),
            kube_reserved_cgroup: String::new(),
            enforce_node_allocatable: vec!["pods".into()],
            allowed_unsafe_sysctls: Vec::new(),
            volume_plugin_dir: "/usr/libexec/kubernetes/kubelet-plugins/volume/exec/".into(),
            provider_id: String::new(),
            kernel_memcg_notification: false,
            logging: Logging::default(),
            enable_system_log_handler: true,
            enable_system_log_query: false,
            shutdown_grace_period: Duration::ZERO,
            shutdown_grace_period_critical_pods: Duration::ZERO,
            shutdown_grace_period_by_pod_priority: Vec::new(),
            crash_loop_back_off: CrashLoopBackOff::default(),
            reserved_memory: Vec::new(),
            enable_profiling_handler: true,
            enable_debug_flags_handler: true,
            seccomp_default: false,
            memory_throttling_factor: 0.9,
            memory_reservation_policy: MemoryReservation::None,
            register_with_taints: Vec::new(),
            register_node: true,
            tracing: None,
            local_storage_capacity_isolation: true,
            container_runtime_endpoint: "unix:///run/containerd/containerd.sock".into(),
            image_service_endpoint: String::new(),
            fail_cgroup_v1: true,
            user_namespaces: UserNamespaces::default(),
        }
    }
}

/// HTTP headers by name. They may hold credentials: only the names are shown in debug output.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Headers(pub BTreeMap<String, Vec<String>>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Who a client of the server is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Authentication {
    /// Client certificates.
    pub x509: X509Authentication,
    /// Bearer tokens.
    pub webhook: WebhookAuthentication,
    /// Clients that show nothing.
    pub anonymous: AnonymousAuthentication,
}

/// Client certificates.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct X509Authentication {
    /// Authorities whose certificates are accepted; empty for none.
    #[serde(rename = "clientCAFile")]
    pub client_ca_file: PathBuf,
}

/// Bearer tokens, which the API server reviews.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WebhookAuthentication {
    /// Whether tokens are accepted.
    pub enabled: bool,
    /// How long an answer is kept.
    #[serde(rename = "cacheTTL")]
    pub cache_ttl: Duration,
}

impl Default for WebhookAuthentication {
    fn default() -> Self {
        Self { enabled: true, cache_ttl: Duration::seconds(120) }
    }
}

/// Clients that show nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AnonymousAuthentication {
    /// Whether they are let in, as `system:anonymous`.
    pub enabled: bool,
}

/// What a client of the server may do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Authorization {
    /// Who decides.
    pub mode: AuthorizationMode,
    /// How long decisions are kept.
    pub webhook: WebhookAuthorization,
}

impl Default for Authorization {
    fn default() -> Self {
        Self { mode: AuthorizationMode::Webhook, webhook: WebhookAuthorization::default() }
    }
}

/// How long the API server's decisions are kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WebhookAuthorization {
    /// Of a yes.
    #[serde(rename = "cacheAuthorizedTTL")]
    pub cache_authorized_ttl: Duration,
    /// Of a no.
    #[serde(rename = "cacheUnauthorizedTTL")]
    pub cache_unauthorized_ttl: Duration,
}

impl Default for WebhookAuthorization {
    fn default() -> Self {
        Self { cache_authorized_ttl: Duration::seconds(300), cache_unauthorized_ttl: Duration::seconds(30) }
    }
}

/// Swap of containers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MemorySwap {
    /// How much they may swap.
    pub swap_behavior: SwapBehavior,
}

impl Default for MemorySwap {
    fn default() -> Self {
        Self { swap_behavior: SwapBehavior::Unset }
    }
}

/// The grace period of pods of a priority and above.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ShutdownByPriority {
    /// The least priority.
    pub priority: i32,
    /// Their grace period in seconds.
    pub shutdown_grace_period_seconds: i64,
}

/// How long a crashing container waits.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CrashLoopBackOff {
    /// The longest wait. Set to 5 minutes on load if the gate KubeletCrashLoopBackOffMax is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_container_restart_period: Option<Duration>,
}

/// Memory reserved on one NUMA node.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReservedMemory {
    /// The NUMA node.
    pub numa_node: i32,
    /// Kinds of memory and quantities.
    pub limits: BTreeMap<String, String>,
}

/// A taint of the node.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value, which may be empty.
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
    /// Must not be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_added: Option<String>,
}

/// Where traces go.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Tracing {
    /// OTLP gRPC collector; unset for `localhost:4317`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// How many traces of a million are begun here; unset for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sampling_rate_per_million: Option<i32>,
}

/// User namespaces of pods.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct UserNamespaces {
    /// User ids per pod.
    pub ids_per_pod: i64,
}

impl Default for UserNamespaces {
    fn default() -> Self {
        Self { ids_per_pod: 65536 }
    }
}
