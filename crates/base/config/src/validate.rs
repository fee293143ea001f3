//! Which configurations are valid. Every mistake is found, not just the first.

mod flags;
mod names;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::IpAddr;

use types::Quantity;

use crate::choice::Choice;
use crate::gates::{Gate, Gates};
use crate::{Duration, KubeletConfiguration, MemoryReservation, PullVerification, cpuset};

pub(crate) use flags::flags;
use names::{CIPHER_SUITES, CPU_OPTIONS, CURVES, SIGNALS, TOPOLOGY_OPTIONS};
use text::{
    amount_or_percentage, image_pattern, is_label_key, is_label_name, is_namespaced, is_sysctl_pattern,
};

/// Something that is wrong with a field.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    /// The field.
    pub(crate) path: String,
    /// The field that it contradicts, if it is not wrong on its own.
    pub(crate) other: Option<&'static str>,
    /// What is wrong.
    pub(crate) message: String,
}

/// What is wrong with `config`, as far as that can be told without looking at the node.
pub(crate) fn config(config: &KubeletConfiguration, gates: &Gates) -> Vec<Found> {
    let mut check = Check { config, gates, found: Vec::new() };
    check.words();
    check.ranges();
    check.addresses();
    check.images();
    check.cgroups();
    check.eviction();
    check.allocatable();
    check.shutdown();
    check.memory();
    check.logs();
    check.taints();
    check.tls();
    check.rest();
    check.found
}

struct Check<'a> {
    config: &'a KubeletConfiguration,
    gates: &'a Gates,
    found: Vec<Found>,
}

impl Check<'_> {
    fn wrong(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.found.push(Found { path: path.into(), other: None, message: message.into() });
    }

    /// Two fields that contradict each other.
    fn clash(&mut self, path: impl Into<String>, other: &'static str, message: impl Into<String>) {
        self.found.push(Found { path: path.into(), other: Some(other), message: message.into() });
    }

    fn require(&mut self, valid: bool, path: &str, message: &str) {
        if !valid {
            self.wrong(path, message);
        }
    }

    fn word<C: Choice>(&mut self, path: &str, word: &C) {
        if !word.is_allowed() {
            let allowed: Vec<&str> = C::ALLOWED.iter().copied().filter(|word| !word.is_empty()).collect();
            let text = word.to_string();
            let hint = document::nearest(&text, allowed.iter().copied());
            let hint = hint.map(|hint| format!("; did you mean {hint}?")).unwrap_or_default();
            self.wrong(path, format!("{text:?} is none of {}{hint}", allowed.join(", ")));
        }
    }

    fn words(&mut self) {
        let config = self.config;
        self.word("authorization.mode", &config.authorization.mode);
        self.word(
            "imagePullCredentialsVerificationPolicy",
            &config.image_pull_credentials_verification_policy,
        );
        self.word("cgroupDriver", &config.cgroup_driver);
        self.word("cpuManagerPolicy", &config.cpu_manager_policy);
        self.word("memoryManagerPolicy", &config.memory_manager_policy);
        self.word("topologyManagerPolicy", &config.topology_manager_policy);
        self.word("topologyManagerScope", &config.topology_manager_scope);
        self.word("hairpinMode", &config.hairpin_mode);
        self.word("memorySwap.swapBehavior", &config.memory_swap.swap_behavior);
        self.word(
            "configMapAndSecretChangeDetectionStrategy",
            &config.config_map_and_secret_change_detection_strategy,
        );
        self.word("memoryReservationPolicy", &config.memory_reservation_policy);
        self.word("logging.format", &config.logging.format);
    }

    fn range<T: PartialOrd + Display + Copy>(&mut self, path: &str, value: T, least: T, most: T) {
        if value < least || value > most {
            self.wrong(path, format!("{value} is not between {least} and {most}"));
        }
    }

    fn at_least<T: PartialOrd + Display + Copy>(&mut self, path: &str, value: T, least: T) {
        if value < least {
            self.wrong(path, format!("{value} is less than {least}"));
        }
    }

    fn ranges(&mut self) {
        let c = self.config;
        self.range("port", c.port, 1, 65535);
        self.range("readOnlyPort", c.read_only_port, 0, 65535);
        self.range("healthzPort", c.healthz_port, 0, 65535);
        self.range("oomScoreAdj", c.oom_score_adj, -1000, 1000);
        self.range("imageGCHighThresholdPercent", c.image_gc_high_threshold_percent, 0, 100);
        self.range("imageGCLowThresholdPercent", c.image_gc_low_threshold_percent, 0, 100);
        self.range("iptablesMasqueradeBit", c.iptables_masquerade_bit, 0, 31);
        self.range("iptablesDropBit", c.iptables_drop_bit, 0, 31);
        for (path, value) in [
            ("registryPullQPS", c.registry_pull_qps),
            ("registryBurst", c.registry_burst),
            ("eventRecordQPS", c.event_record_qps),
            ("eventBurst", c.event_burst),
            ("kubeAPIQPS", c.kube_api_qps),
            ("kubeAPIBurst", c.kube_api_burst),
            ("maxPods", c.max_pods),
            ("podsPerCore", c.pods_per_core),
        ] {
            self.at_least(path, value, 0);
        }
        self.at_least("nodeLeaseDurationSeconds", c.node_lease_duration_seconds, 1);
        self.at_least("nodeStatusMaxImages", c.node_status_max_images, -1);
        self.at_least("maxOpenFiles", c.max_open_files, 0);
        self.at_least("containerLogMaxFiles", c.container_log_max_files, 2);
        self.at_least("containerLogMaxWorkers", c.container_log_max_workers, 1);
        self.at_least("containerLogMonitorInterval", c.container_log_monitor_interval, Duration::seconds(3));
        self.at_least("syncFrequency", c.sync_frequency, Duration::nanos(1));
        self.range("cpuCFSQuotaPeriod", c.cpu_cfs_quota_period, Duration::millis(1), Duration::seconds(1));
        if c.cpu_cfs_quota_period != Duration::millis(100)
            && !self.gates.enabled(Gate::CustomCPUCFSQuotaPeriod)
        {
            self.clash(
                "cpuCFSQuotaPeriod",
                "featureGates",
                "must be 100ms while the gate CustomCPUCFSQuotaPeriod is off",
            );
        }
        if !(c.memory_throttling_factor > 0.0 && c.memory_throttling_factor <= 1.0) {
            self.wrong("memoryThrottlingFactor", "must be more than 0 and not more than 1");
        }
        self.require(!c.run_once, "runOnce", "this mode is gone: it must be false");
    }

    fn addresses(&mut self) {
        let c = self.config;
        for (path, address) in [("address", &c.address), ("healthzBindAddress", &c.healthz_bind_address)] {
            if address.parse::<IpAddr>().is_err() {
                self.wrong(path, format!("{address:?} is not an IP address"));
            }
        }
        let text = c.pod_logs_dir.to_string_lossy();
        self.require(c.pod_logs_dir.is_absolute(), "podLogsDir", "must be an absolute path");
        let clean = *crate::file::clean(&c.pod_logs_dir).to_string_lossy() == *text;
        self.require(clean, "podLogsDir", "must not contain . or .. or needless slashes");
        self.require(text.is_ascii(), "podLogsDir", "must be ASCII: runtimes cannot be told of other paths");
        let endpoint = !c.container_runtime_endpoint.is_empty();
        self.require(endpoint, "containerRuntimeEndpoint", "must name the socket of the runtime");
    }

    fn images(&mut self) {
        let c = self.config;
        self.at_least("imageMinimumGCAge", c.image_minimum_gc_age, Duration::ZERO);
        self.at_least("imageMaximumGCAge", c.image_maximum_gc_age, Duration::ZERO);
        if c.image_maximum_gc_age > Duration::ZERO && c.image_maximum_gc_age <= c.image_minimum_gc_age {
            self.clash("imageMaximumGCAge", "imageMinimumGCAge", "must be more than imageMinimumGCAge");
        }
        if c.image_gc_low_threshold_percent >= c.image_gc_high_threshold_percent {
            self.clash(
                "imageGCLowThresholdPercent",
                "imageGCHighThresholdPercent",
                "must be less than imageGCHighThresholdPercent",
            );
        }
        match c.max_parallel_image_pulls {
            Some(pulls) if pulls < 1 => self.wrong("maxParallelImagePulls", "must be at least 1"),
            Some(pulls) if pulls > 1 && c.serialize_image_pulls => {
                self.clash(
                    "maxParallelImagePulls",
                    "serializeImagePulls",
                    "more than 1 contradicts serializeImagePulls: true",
                );
            }
            _ => {}
        }
        let policy = &c.image_pull_credentials_verification_policy;
        let path = "imagePullCredentialsVerificationPolicy";
        let gate = self.gates.enabled(Gate::KubeletEnsureSecretPulledImages);
        if gate && *policy == PullVerification::Unset {
            self.wrong(path, "must not be empty");
        } else if !gate && *policy != PullVerification::Unset {
            self.clash(
                path,
                "featureGates",
                "must not be set while the gate KubeletEnsureSecretPulledImages is off",
            );
        }
        let allowlist = &c.preloaded_images_verification_allowlist;
        if !allowlist.is_empty() && *policy != PullVerification::NeverVerifyAllowlistedImages {
            let message = format!("needs {path}: NeverVerifyAllowlistedImages");
            self.clash(
                "preloadedImagesVerificationAllowlist",
                "imagePullCredentialsVerificationPolicy",
                message,
            );
        }
        for (index, image) in allowlist.iter().enumerate() {
            if let Err(message) = image_pattern(image) {
                self.wrong(format!("preloadedImagesVerificationAllowlist[{index}]"), message);
            }
        }
    }

    fn cgroups(&mut self) {
        let c = self.config;
        if !c.system_cgroups.is_empty() && c.cgroup_root.is_empty() {
            self.clash("systemCgroups", "cgroupRoot", "needs cgroupRoot");
        }
        let ids = c.user_namespaces.ids_per_pod;
        let path = "userNamespaces.idsPerPod";
        self.range(path, ids, 65536, i64::from(u32::MAX));
        self.require(ids % 65536 == 0, path, "must be a multiple of 65536");
        if let Some(longest) = c.crash_loop_back_off.max_container_restart_period {
            let path = "crashLoopBackOff.maxContainerRestartPeriod";
            self.range(path, longest, Duration::seconds(1), Duration::seconds(300));
            let gate = self.gates.enabled(Gate::KubeletCrashLoopBackOffMax);
            self.require(gate, path, "must not be set while the gate KubeletCrashLoopBackOffMax is off");
        }
    }

    fn eviction(&mut self) {
        let c = self.config;
        for (name, thresholds) in [
            ("evictionHard", &c.eviction_hard),
            ("evictionSoft", &c.eviction_soft),
            ("evictionMinimumReclaim", &c.eviction_minimum_reclaim),
        ] {
            for (signal, threshold) in thresholds {
                let path = format!("{name}[{signal}]");
                if !SIGNALS.contains(&signal.as_str()) {
                    let hint = document::nearest(signal, SIGNALS.iter().copied());
                    let hint = hint.map(|hint| format!("; did you mean {hint}?")).unwrap_or_default();
                    self.wrong(&path, format!("no such eviction signal{hint}"));
                }
                if let Err(message) = amount_or_percentage(threshold) {
                    self.wrong(&path, message);
                }
            }
        }
        for signal in
            c.eviction_soft.keys().filter(|signal| !c.eviction_soft_grace_period.contains_key(*signal))
        {
            self.wrong(format!("evictionSoft[{signal}]"), "needs an entry in evictionSoftGracePeriod");
        }
        for (signal, period) in &c.eviction_soft_grace_period {
            let path = format!("evictionSoftGracePeriod[{signal}]");
            match period.parse::<Duration>() {
                Err(error) => self.wrong(&path, error.to_string()),
                Ok(period) if period.is_negative() => self.wrong(&path, "must not be negative"),
                Ok(_) => {}
            }
            if !c.eviction_soft.contains_key(signal) {
                self.wrong(&path, "needs an entry in evictionSoft");
            }
        }
    }

    fn reserved(&mut self, name: &str, reserved: &BTreeMap<String, String>) {
        for (resource, amount) in reserved {
            let path = format!("{name}[{resource}]");
            if !matches!(resource.as_str(), "cpu" | "memory" | "ephemeral-storage" | "pid") {
                self.wrong(&path, "only cpu, memory, ephemeral-storage and pid can be reserved");
            }
            match amount.parse::<Quantity>() {
                Err(error) => self.wrong(&path, error.to_string()),
                Ok(amount) if amount.is_negative() => self.wrong(&path, "must not be negative"),
                Ok(_) => {}
            }
        }
    }

    fn allocatable(&mut self) {
        let c = self.config;
        self.reserved("systemReserved", &c.system_reserved);
        self.reserved("kubeReserved", &c.kube_reserved);
        let path = "enforceNodeAllocatable";
        let all: BTreeSet<&str> = c.enforce_node_allocatable.iter().map(String::as_str).collect();
        self.require(all.len() == c.enforce_node_allocatable.len(), path, "an entry occurs twice");
        let has = |name: &str| all.contains(name);
        for entry in &all {
            let cgroup = match *entry {
                "none" | "pods" => None,
                "system-reserved" | "system-reserved-compressible" => {
                    Some(("systemReservedCgroup", &c.system_reserved_cgroup))
                }
                "kube-reserved" | "kube-reserved-compressible" => {
                    Some(("kubeReservedCgroup", &c.kube_reserved_cgroup))
                }
                _ => {
                    let allowed = "none, pods, system-reserved, system-reserved-compressible, kube-reserved, \
                                   kube-reserved-compressible";
                    self.wrong(path, format!("{entry:?} is none of {allowed}"));
                    continue;
                }
            };
            if let Some((field, _)) = cgroup.filter(|(_, cgroup)| cgroup.is_empty()) {
                self.wrong(path, format!("{entry} needs {field}"));
            }
            if *entry != "none" && !c.cgroups_per_qos {
                self.clash(path, "cgroupsPerQOS", format!("{entry} needs cgroupsPerQOS: true"));
            }
        }
        self.require(!has("none") || all.len() == 1, path, "none must stand alone");
        for name in ["system-reserved", "kube-reserved"] {
            if has(name) && has(&format!("{name}-compressible")) {
                self.wrong(path, format!("{name} and {name}-compressible exclude each other"));
            }
        }
        match cpuset::parse(&c.reserved_system_cpus) {
            Err(message) => self.wrong("reservedSystemCPUs", message),
            Ok(cpus) if cpus.is_empty() => {}
            Ok(_) => {
                let cgroups = c.system_reserved_cgroup.is_empty() && c.kube_reserved_cgroup.is_empty();
                let message = "excludes systemReservedCgroup and kubeReservedCgroup";
                self.require(cgroups, "reservedSystemCPUs", message);
            }
        }
    }

    fn shutdown(&mut self) {
        let c = self.config;
        let second = Duration::seconds(1);
        for (path, period) in [
            ("shutdownGracePeriod", c.shutdown_grace_period),
            ("shutdownGracePeriodCriticalPods", c.shutdown_grace_period_critical_pods),
        ] {
            self.require(period.is_zero() || period >= second, path, "must be 0s, or at least 1s");
        }
        if c.shutdown_grace_period_critical_pods > c.shutdown_grace_period {
            let message = "is part of shutdownGracePeriod, and must not be more than it";
            self.clash("shutdownGracePeriodCriticalPods", "shutdownGracePeriod", message);
        }
        if !c.shutdown_grace_period_by_pod_priority.is_empty() {
            let path = "shutdownGracePeriodByPodPriority";
            let alone = c.shutdown_grace_period.is_zero() && c.shutdown_grace_period_critical_pods.is_zero();
            let message = "excludes shutdownGracePeriod and shutdownGracePeriodCriticalPods";
            self.require(alone, path, message);
            let gate = self.gates.enabled(Gate::GracefulNodeShutdownBasedOnPodPriority);
            self.require(gate, path, "needs the gate GracefulNodeShutdownBasedOnPodPriority");
        }
        let some = !c.shutdown_grace_period.is_zero();
        if some && !self.gates.enabled(Gate::GracefulNodeShutdown) {
            self.clash("shutdownGracePeriod", "featureGates", "needs the gate GracefulNodeShutdown");
        }
    }

    fn memory(&mut self) {
        let c = self.config;
        let mut seen = BTreeSet::new();
        for (index, reserved) in c.reserved_memory.iter().enumerate() {
            for (kind, amount) in &reserved.limits {
                let path = format!("reservedMemory[{index}].limits[{kind}]");
                if kind != "memory" && !kind.starts_with("hugepages-") {
                    self.wrong(&path, "only memory and hugepages-SIZE can be reserved");
                }
                match amount.parse::<Quantity>() {
                    Err(error) => self.wrong(&path, error.to_string()),
                    Ok(amount) if amount.is_zero() || amount.is_negative() => {
                        self.wrong(&path, "must be more than zero");
                    }
                    Ok(_) => {}
                }
                if !seen.insert((reserved.numa_node, kind)) {
                    self.wrong(&path, format!("is reserved twice on NUMA node {}", reserved.numa_node));
                }
            }
        }
        if c.memory_reservation_policy == MemoryReservation::TieredReservation
            && !self.gates.enabled(Gate::MemoryQoS)
        {
            self.clash(
                "memoryReservationPolicy",
                "featureGates",
                "TieredReservation needs the gate MemoryQoS",
            );
        }
        for (resource, share) in &c.qos_reserved {
            let path = format!("qosReserved[{resource}]");
            self.require(resource == "memory", &path, "only memory can be reserved");
            let percent = share.strip_suffix('%').and_then(|number| number.parse::<u32>().ok());
            self.require(percent.is_some_and(|share| share <= 100), &path, "must be a percentage up to 100%");
        }
        if !c.qos_reserved.is_empty() && !self.gates.enabled(Gate::QOSReserved) {
            self.clash("qosReserved", "featureGates", "needs the gate QOSReserved");
        }
    }

    fn logs(&mut self) {
        let c = self.config;
        if let Err(error) = c.container_log_max_size.parse::<Quantity>() {
            self.wrong("containerLogMaxSize", error.to_string());
        }
        let logging = &c.logging;
        self.at_least("logging.flushFrequency", logging.flush_frequency, Duration::nanos(1));
        let most = i32::MAX.unsigned_abs();
        self.range("logging.verbosity", logging.verbosity, 0, most);
        if !logging.vmodule.is_empty() && logging.format != crate::LogFormat::Text {
            self.clash("logging.vmodule", "logging.format", "works only with logging.format: text");
        }
        for (index, module) in logging.vmodule.iter().enumerate() {
            let path = format!("logging.vmodule[{index}]");
            let pattern = &module.file_pattern;
            let valid = !pattern.is_empty() && !pattern.contains(['=', ',']);
            self.require(valid, &format!("{path}.filePattern"), "must not be empty, nor contain = or ,");
            self.range(&format!("{path}.verbosity"), module.verbosity, 0, most);
        }
        for (path, options) in [("text", &logging.options.text), ("json", &logging.options.json)] {
            let path = format!("logging.options.{path}");
            let buffer = options.info_buffer_size.parse::<Quantity>();
            if let Err(error) = &buffer {
                self.wrong(format!("{path}.infoBufferSize"), error.to_string());
            }
            let used = options.split_stream || buffer.is_ok_and(|buffer| !buffer.is_zero());
            let gate = self.gates.enabled(Gate::LoggingAlphaOptions);
            self.require(!used || gate, &path, "needs the gate LoggingAlphaOptions");
        }
    }

    fn taints(&mut self) {
        for (index, taint) in self.config.register_with_taints.iter().enumerate() {
            let path = format!("registerWithTaints[{index}]");
            self.require(is_label_key(&taint.key), &format!("{path}.key"), "is no valid label key");
            let value = taint.value.is_empty() || is_label_name(&taint.value);
            self.require(value, &format!("{path}.value"), "is no valid label value");
            let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
            if !effects.contains(&taint.effect.as_str()) {
                self.wrong(format!("{path}.effect"), format!("must be one of {}", effects.join(", ")));
            }
            self.require(taint.time_added.is_none(), &format!("{path}.timeAdded"), "must not be set");
        }
    }

    fn tls(&mut self) {
        let c = self.config;
        let versions = ["", "VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"];
        let known = versions.contains(&c.tls_min_version.as_str());
        self.require(known, "tlsMinVersion", "must be one of VersionTLS10 to VersionTLS13");
        for (index, suite) in c.tls_cipher_suites.iter().enumerate() {
            if !CIPHER_SUITES.contains(&suite.as_str()) {
                let hint = document::nearest(suite, CIPHER_SUITES.iter().copied());
                let hint = hint.map(|hint| format!("; did you mean {hint}?")).unwrap_or_default();
                self.wrong(format!("tlsCipherSuites[{index}]"), format!("no such cipher suite{hint}"));
            }
        }
        for (index, curve) in c.tls_curve_preferences.iter().enumerate() {
            if !CURVES.contains(curve) {
                self.wrong(
                    format!("tlsCurvePreferences[{index}]"),
                    format!("no curve has the number {curve}"),
                );
            }
        }
    }

    fn rest(&mut self) {
        let c = self.config;
        if c.enable_system_log_query && !c.enable_system_log_handler {
            self.clash(
                "enableSystemLogQuery",
                "enableSystemLogHandler",
                "needs enableSystemLogHandler: true",
            );
        }
        if c.server_tls_bootstrap && !self.gates.enabled(Gate::RotateKubeletServerCertificate) {
            self.clash("serverTLSBootstrap", "featureGates", "needs the gate RotateKubeletServerCertificate");
        }
        let hidden = c.show_hidden_metrics_for_version.as_str();
        let message = "must be empty or the previous minor version, 1.35";
        self.require(matches!(hidden, "" | "1.35"), "showHiddenMetricsForVersion", message);
        if let Some(tracing) = &c.tracing {
            let rate = tracing.sampling_rate_per_million.unwrap_or(0);
            self.range("tracing.samplingRatePerMillion", rate, 0, 1_000_000);
            let endpoint = tracing.endpoint.as_deref().unwrap_or_default();
            let scheme = endpoint.split_once("://").map(|(scheme, _)| scheme).or_else(|| {
                let (scheme, rest) = endpoint.split_once(':')?;
                let port = rest.bytes().all(|byte| byte.is_ascii_digit());
                (!port && !scheme.contains(['.', '['])).then_some(scheme)
            });
            let valid = matches!(scheme, None | Some("dns" | "unix" | "unix-abstract"));
            self.require(valid, "tracing.endpoint", "its scheme must be dns, unix or unix-abstract");
        }
        for (index, sysctl) in c.allowed_unsafe_sysctls.iter().enumerate() {
            let path = format!("allowedUnsafeSysctls[{index}]");
            self.require(is_sysctl_pattern(sysctl), &path, "is no sysctl, nor a prefix that ends in *");
            let message = "is in no namespace of its own, so a pod would set it for the whole node";
            self.require(is_namespaced(sysctl), &path, message);
        }
        for (policy, options, known) in [
            ("cpuManagerPolicyOptions", &c.cpu_manager_policy_options, CPU_OPTIONS),
            ("topologyManagerPolicyOptions", &c.topology_manager_policy_options, TOPOLOGY_OPTIONS),
        ] {
            for option in options.keys().filter(|option| !known.contains(&option.as_str())) {
                self.wrong(format!("{policy}[{option}]"), format!("is none of {}", known.join(", ")));
            }
        }
    }
}

#[cfg(test)]
mod tests;
