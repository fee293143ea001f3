//! What is accepted, but not acted on yet.

use crate::gates::{Gate, find};

/// Fields (by path) and flags (with dashes) that are read and validated, but that nothing acts on yet. Whoever makes
/// something act on one removes it here.
pub const UNACTED: &[&str] = &[
    "--bootstrap-kubeconfig",
    "--experimental-mounter-path",
    "--housekeeping-interval",
    "--image-credential-provider-bin-dir",
    "--image-credential-provider-config",
    "--max-housekeeping-interval",
    "contentType",
    "cpuManagerPolicy",
    "cpuManagerPolicyOptions",
    "cpuManagerReconcilePeriod",
    "enableContentionProfiling",
    "evictionMaxPodGracePeriod",
    "evictionMinimumReclaim",
    "evictionPressureTransitionPeriod",
    "evictionSoft",
    "evictionSoftGracePeriod",
    "kernelMemcgNotification",
    "kubeletCgroups",
    "makeIPTablesUtilChains",
    "memoryManagerPolicy",
    "memoryReservationPolicy",
    "memoryThrottlingFactor",
    "podCIDR",
    "qosReserved",
    "reservedMemory",
    "rotateCertificates",
    "serverTLSBootstrap",
    "showHiddenMetricsForVersion",
    "shutdownGracePeriod",
    "shutdownGracePeriodByPodPriority",
    "shutdownGracePeriodCriticalPods",
    "systemCgroups",
    "topologyManagerPolicy",
    "topologyManagerPolicyOptions",
    "topologyManagerScope",
    "tracing",
];

/// Fields and flags that are settled in this crate: they choose what is loaded, or have no effect in Kubernetes
/// either. No other crate reads them.
pub const SETTLED: &[&str] = &[
    "--config",
    "--config-dir",
    "--seccomp-default",
    "featureGates",
    "hairpinMode",
    "iptablesDropBit",
    "iptablesMasqueradeBit",
    "mergeDefaultEvictionSettings",
    "reservedSystemCPUs",
    "runOnce",
];

/// The feature gates whose switch changes what berth does. All others are accepted; whoever makes one act adds it here.
pub const SWITCHES: &[Gate] = &[
    Gate::CSIVolumeHealth,
    Gate::ClusterTrustBundleProjection,
    Gate::ComponentFlagz,
    Gate::ComponentStatusz,
    Gate::ContainerCheckpoint,
    Gate::ContainerRestartRules,
    Gate::ContainerStopSignals,
    Gate::CustomCPUCFSQuotaPeriod,
    Gate::EnvFiles,
    Gate::EventedPLEG,
    Gate::ExtendWebSocketsToKubelet,
    Gate::GracefulNodeShutdown,
    Gate::GracefulNodeShutdownBasedOnPodPriority,
    Gate::HostnameOverride,
    Gate::KubeletCrashLoopBackOffMax,
    Gate::KubeletEnsureSecretPulledImages,
    Gate::LocalStorageCapacityIsolationFSQuotaMonitoring,
    Gate::LoggingAlphaOptions,
    Gate::NodeDeclaredFeatures,
    Gate::PodCertificateRequest,
    Gate::PodLevelResources,
    Gate::PodLogsQuerySplitStreams,
    Gate::PreventStaticPodAPIReferences,
    Gate::ReduceDefaultCrashLoopBackOffDecay,
    Gate::ReloadKubeletClientCAFile,
    Gate::ReloadKubeletServerCertificateFile,
    Gate::RestartAllContainersOnContainerExits,
    Gate::RotateKubeletServerCertificate,
    Gate::SELinuxMount,
];

/// Whether somebody who sets the gate `name` to `on` asks for something that does not happen: it differs from what is
/// there without, and nothing acts on it. Not so for gates that have no effect on any kubelet.
pub(crate) fn is_unacted_gate(name: &str, on: bool) -> bool {
    match name {
        "AllAlpha" => on,
        "AllBeta" => !on,
        _ => find(name).is_some_and(|info| info.default != on && !SWITCHES.contains(&info.gate)),
    }
}

/// The fields and flags that nothing acts on yet.
#[must_use]
pub fn unacted() -> &'static [&'static str] {
    UNACTED
}

#[cfg(test)]
mod tests {
    use crate::flags::{FLAGS, Target};
    use crate::layer::get;
    use crate::{KubeletConfiguration, unacted};

    #[test]
    fn names_exist_and_are_in_order() {
        let fields = serde_json::to_value(KubeletConfiguration::default()).unwrap();
        for name in unacted().iter().chain(super::SETTLED) {
            let flag = name.strip_prefix("--");
            let known = match flag {
                Some(flag) => FLAGS.iter().any(|known| known.name == flag && known.target == Target::Own),
                // Only `tracing` is left out of the default's text.
                None => get(&fields, name).is_some() || *name == "tracing",
            };
            assert!(known, "{name}");
        }
        assert!(unacted().is_sorted() && super::SETTLED.is_sorted());
    }

    #[test]
    fn gates() {
        use super::is_unacted_gate as is_unacted;
        assert!(is_unacted("MemoryQoS", true) && is_unacted("ResourceHealthStatus", false));
        assert!(is_unacted("AllAlpha", true) && is_unacted("AllBeta", false));
        assert!(!is_unacted("MemoryQoS", false) && !is_unacted("ResourceHealthStatus", true));
        assert!(
            !is_unacted("EventedPLEG", false)
                && !is_unacted("WatchList", true)
                && !is_unacted("AllBeta", true)
        );
        let names: Vec<&str> = super::SWITCHES.iter().map(|gate| gate.info().name).collect();
        assert!(names.is_sorted());
    }

    #[test]
    fn each_flag_has_a_field() {
        let fields = serde_json::to_value(KubeletConfiguration::default()).unwrap();
        let own = serde_json::to_value(crate::Flags::default()).unwrap();
        for flag in FLAGS {
            match flag.target {
                Target::Field(path) => assert!(get(&fields, path).is_some(), "--{} -> {path}", flag.name),
                Target::Own => assert!(own.get(flag.name).is_some(), "--{}", flag.name),
                Target::Nowhere => {}
            }
        }
    }
}
