//! Feature gates: what Kubernetes 1.36 names, their stages, and what is switched here.

use std::collections::BTreeMap;

use document::nearest;

/// How far a feature is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Off unless asked for.
    Alpha,
    /// Usually on.
    Beta,
    /// General availability.
    Ga,
    /// On its way out.
    Deprecated,
}

/// One row of the table of gates.
#[derive(Clone, Copy, Debug)]
pub struct GateInfo {
    /// Which gate it is about.
    pub gate: Gate,
    /// The name in `featureGates` and `--feature-gates`.
    pub name: &'static str,
    /// How far the feature is.
    pub stage: Stage,
    /// Whether it is on when nothing is said.
    pub default: bool,
    /// Whether it cannot be changed.
    pub locked: bool,
}

macro_rules! gates {
    ($($stage:ident $default:ident $locked:literal: $($name:ident)*;)*) => {
        /// A feature gate of Kubernetes, under its own name.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[expect(missing_docs, reason = "the names are Kubernetes' own; its page on feature gates describes each")]
        pub enum Gate {
            $($($name,)*)*
        }

        /// All gates that are known, in the order of [`Gate`].
        pub const ALL: &[GateInfo] = &[
            $($(GateInfo {
                gate: Gate::$name,
                name: stringify!($name),
                stage: Stage::$stage,
                default: $default,
                locked: $locked,
            },)*)*
        ];
    };
}

gates! {
    Ga true true:
        AnyVolumeDataSource CPUManagerPolicyOptions CSIServiceAccountTokenSecrets DynamicResourceAllocation
        DRAAdminAccess ExecProbeTimeout ImageMaximumGCAge ImageVolume InPlacePodVerticalScaling
        KubeletCgroupDriverFromCRI KubeletFineGrainedAuthz KubeletPodResourcesDynamicResources
        KubeletPodResourcesGet KubeletPSI KubeletTracing MutableCSINodeAllocatableCount NodeLogQuery NodeSwap
        PodLifecycleSleepAction PodLifecycleSleepActionAllowZero PodObservedGenerationTracking ProcMountType
        RecoverVolumeExpansionFailure RecursiveReadOnlyMounts RelaxedDNSSearchValidation
        RelaxedEnvironmentVariableValidation SELinuxChangePolicy SELinuxMountReadWriteOncePod SidecarContainers
        SupplementalGroupsPolicy SystemdWatchdog TopologyManagerPolicyOptions UserNamespacesSupport
        VolumeAttributesClass;
    Ga true false: CustomCPUCFSQuotaPeriod DRAPrioritizedList;
    Beta true false:
        AuthorizePodWebsocketUpgradeCreatePermission ComponentFlagz ComponentStatusz ContainerCheckpoint
        ContainerRestartRules ContextualLogging CPUManagerPolicyBetaOptions DRAConsumableCapacity
        DRADeviceBindingConditions DRADeviceTaints DRAExtendedResource DRAPartitionableDevices
        DRAResourceClaimDeviceStatus EnvFiles ExtendWebSocketsToKubelet GracefulNodeShutdown
        GracefulNodeShutdownBasedOnPodPriority HostnameOverride InPlacePodLevelResourcesVerticalScaling
        InPlacePodVerticalScalingInitContainers KubeletCrashLoopBackOffMax KubeletEnsureSecretPulledImages
        KubeletSeparateDiskGC KubeletServiceAccountTokenForCredentialProviders LoggingBetaOptions
        NodeDeclaredFeatures PLEGOnDemandRelist PodLevelResources PodReadyToStartContainersCondition
        PortForwardWebsockets PreventStaticPodAPIReferences ReloadKubeletClientCAFile
        ReloadKubeletServerCertificateFile ResourceHealthStatus ResourceHealthStatusMessage
        RestartAllContainersOnContainerExits RotateKubeletServerCertificate TopologyManagerPolicyBetaOptions
        TranslateStreamCloseWebsocketRequests;
    Beta false false:
        ClusterTrustBundle ClusterTrustBundleProjection DRADeviceTaintRules
        LocalStorageCapacityIsolationFSQuotaMonitoring PodCertificateRequest SELinuxMount;
    Alpha false false:
        ContainerStopSignals CPUManagerPolicyAlphaOptions CRIListStreaming CSIVolumeHealth
        DRANodeAllocatableResources EventedPLEG ImageVolumeWithDigest InPlacePodVerticalScalingExclusiveCPUs
        InPlacePodVerticalScalingExclusiveMemory KubeletInUserNamespace LoggingAlphaOptions MemoryQoS
        PodAndContainerStatsFromCRI PodLevelResourceManagers PodLogsQuerySplitStreams PodsAPI QOSReserved
        ReduceDefaultCrashLoopBackOffDecay RuntimeClassInImageCriApi TaintTolerationComparisonOperators
        TopologyManagerPolicyAlphaOptions UserNamespacesHostNetworkSupport VolumeLimitScaling;
    Deprecated false false:
        AllowDNSOnlyNodeCSR AllowInsecureKubeletCertificateSigningRequests ChangeContainerStatusOnKubeletRestart
        KubeletRegistrationGetOnExistsOnly;
    Deprecated true false: DisableCPUQuotaWithExclusiveCPUs KubeletPodResourcesListUseActivePods;
    Deprecated true true: DisableNodeKubeProxyVersion;
    Deprecated false true: AllowOverwriteTerminationGracePeriodSeconds GitRepoVolumeDriver;
}

/// Gates of Kubernetes' other components. A kubelet takes them too, as all components share one list; here they are
/// accepted, and have no effect.
pub const ELSEWHERE: &[&str] = &[
    "APIResponseCompression",
    "APIServerIdentity",
    "APIServerTracing",
    "APIServingWithRoutine",
    "AllowParsingUserUIDFromCertAuth",
    "AnonymousAuthConfigurableEndpoints",
    "AuthorizeNodeWithSelectors",
    "AuthorizeWithSelectors",
    "CBORServingAndStorage",
    "CRDValidationRatcheting",
    "CloudControllerManagerWebhook",
    "ConcurrentWatchObjectDecode",
    "ConsistentListFromCache",
    "CoordinatedLeaderElection",
    "CustomResourceFieldSelectors",
    "DRASchedulerFilterTimeout",
    "DeclarativeValidation",
    "DeploymentReplicaSetTerminatingReplicas",
    "DetectCacheInconsistency",
    "DisableAllocatorDualWrite",
    "ElasticIndexedJob",
    "ExternalServiceAccountTokenSigner",
    "GangScheduling",
    "GenericWorkload",
    "HPAConfigurableTolerance",
    "HPAScaleToZero",
    "InOrderInformers",
    "InformerResourceVersion",
    "JobBackoffLimitPerIndex",
    "JobManagedBy",
    "JobPodReplacementPolicy",
    "JobSuccessPolicy",
    "KMSv1",
    "ListFromCacheSnapshot",
    "MatchLabelKeysInPodAffinity",
    "MatchLabelKeysInPodTopologySpread",
    "MaxUnavailableStatefulSet",
    "MultiCIDRServiceAllocator",
    "MutatingAdmissionPolicy",
    "NFTablesProxyMode",
    "NodeInclusionPolicyInPodTopologySpread",
    "OpenAPIEnums",
    "OpportunisticBatching",
    "OrderedNamespaceDeletion",
    "PodIndexLabel",
    "PreferSameTrafficDistribution",
    "RemoteRequestHeaderUID",
    "ResilientWatchCacheInitialization",
    "SchedulerAsyncAPICalls",
    "SchedulerAsyncPreemption",
    "SchedulerPopFromBackoffQ",
    "SchedulerQueueingHints",
    "SeparateCacheWatchRPC",
    "SeparateTaintEvictionController",
    "ServiceAccountTokenJTI",
    "ServiceAccountTokenNodeBinding",
    "ServiceAccountTokenNodeBindingValidation",
    "ServiceAccountTokenPodNodeInfo",
    "ServiceTrafficDistribution",
    "SizeBasedListCostEstimate",
    "StatefulSetAutoDeletePVC",
    "StorageVersionAPI",
    "StorageVersionMigrator",
    "StreamingCollectionEncodingToJSON",
    "StreamingCollectionEncodingToProtobuf",
    "StrictIPCIDRValidation",
    "StructuredAuthenticationConfiguration",
    "StructuredAuthorizationConfiguration",
    "TopologyAwareHints",
    "UnauthenticatedHTTP2DOSMitigation",
    "UnknownVersionInteroperabilityProxy",
    "WatchCacheInitializationPostStartHook",
    "WatchList",
    "WindowsCPUAndMemoryAffinity",
    "WindowsGracefulNodeShutdown",
];

/// Which gates are on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Gates {
    /// Those that were set by their own name.
    set: BTreeMap<Gate, bool>,
    /// What all others of a stage are, from `AllAlpha` and `AllBeta`.
    stages: Vec<(Stage, bool)>,
}

/// Why nothing comes of setting the gate `name`, if nothing does.
pub(crate) fn without_effect(name: &str) -> Option<&'static str> {
    ELSEWHERE.contains(&name).then_some("belongs to another component and has no effect here")
}

/// Why a gate cannot be set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GateError {
    /// No gate of that name is known.
    #[error("feature gate {name} is unknown{}", hint.map(|hint| format!("; did you mean {hint}?")).unwrap_or_default())]
    Unknown {
        /// The name as it was written.
        name: String,
        /// The known name that was probably meant.
        hint: Option<&'static str>,
    },
    /// The feature is always on, or always off.
    #[error("feature gate {name} is locked to {value}: remove it")]
    Locked {
        /// Its name.
        name: &'static str,
        /// What it is locked to.
        value: bool,
    },
}

impl Gates {
    /// The gates with `settings` over their defaults. `AllAlpha` and `AllBeta` switch those of a stage that are not
    /// set on their own.
    ///
    /// # Errors
    /// Every gate that is unknown, or locked to the other value.
    pub fn new<'a>(settings: impl IntoIterator<Item = (&'a str, bool)>) -> Result<Self, Vec<GateError>> {
        let mut gates = Self::default();
        let mut errors = Vec::new();
        for (name, value) in settings {
            match (name, find(name)) {
                ("AllAlpha", _) => gates.stages.push((Stage::Alpha, value)),
                ("AllBeta", _) => gates.stages.push((Stage::Beta, value)),
                (_, None) if ELSEWHERE.contains(&name) => {}
                (_, None) => {
                    let hint = nearest(name, ALL.iter().map(|info| info.name));
                    errors.push(GateError::Unknown { name: name.to_owned(), hint });
                }
                (_, Some(info)) if info.locked && info.default != value => {
                    errors.push(GateError::Locked { name: info.name, value: info.default });
                }
                (_, Some(info)) => drop(gates.set.insert(info.gate, value)),
            }
        }
        if errors.is_empty() { Ok(gates) } else { Err(errors) }
    }

    /// Whether `gate` is on.
    #[must_use]
    pub fn enabled(&self, gate: Gate) -> bool {
        let GateInfo { stage, default, locked, .. } = *gate.info();
        let whole = self.stages.iter().find(|(of, _)| *of == stage && !locked).map(|(_, on)| *on);
        self.named(gate).or(whole).unwrap_or(default)
    }

    /// What `gate` was set to by its own name, if it was.
    #[must_use]
    pub fn named(&self, gate: Gate) -> Option<bool> {
        self.set.get(&gate).copied()
    }
}

impl Gate {
    /// Its row in the table.
    #[must_use]
    pub fn info(self) -> &'static GateInfo {
        // The table has one row for each variant, in the same order.
        &ALL[self as usize]
    }
}

/// The gate named `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static GateInfo> {
    ALL.iter().find(|info| info.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_the_order_of_the_enum() {
        for info in ALL {
            assert_eq!(info.gate.info().name, info.name);
            assert_eq!(format!("{:?}", info.gate), info.name);
        }
    }

    #[test]
    fn settings() {
        let gates = Gates::new([("EventedPLEG", true), ("PodLevelResources", false)]).unwrap();
        assert!(gates.enabled(Gate::EventedPLEG));
        assert!(!gates.enabled(Gate::PodLevelResources));
        assert!(gates.enabled(Gate::NodeSwap));
        assert!(!gates.enabled(Gate::MemoryQoS));

        let gates = Gates::new([("AllAlpha", true), ("MemoryQoS", false), ("AllBeta", false)]).unwrap();
        assert!(gates.enabled(Gate::EventedPLEG));
        assert!(!gates.enabled(Gate::MemoryQoS));
        assert!(!gates.enabled(Gate::EnvFiles));
        assert_eq!((gates.named(Gate::EventedPLEG), gates.named(Gate::MemoryQoS)), (None, Some(false)));
        assert!(Gates::new([("NodeSwap", true), ("WatchList", false)]).is_ok());
        assert!(ELSEWHERE.iter().all(|name| find(name).is_none()));
    }

    #[test]
    fn errors() {
        let errors = Gates::new([("NodeSwap", false), ("EventdPLEG", true)]).unwrap_err();
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "feature gate NodeSwap is locked to true: remove it",
                "feature gate EventdPLEG is unknown; did you mean EventedPLEG?"
            ]
        );
    }
}
