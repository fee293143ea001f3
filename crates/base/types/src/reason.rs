//! Reasons: the words by which programs and people recognise a state. Names and spelling are Kubernetes' own
//! (kubelet events, container `waiting` and `terminated` states, pod conditions).

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*
    };
}

/// `state.waiting.reason` of containers.
pub mod waiting {
    reasons! {
        /// The sandbox, the volumes or the image are being prepared.
        CONTAINER_CREATING = "ContainerCreating";
        /// Init containers have to finish first.
        POD_INITIALIZING = "PodInitializing";
        /// It ended and will be started again after a delay.
        CRASH_LOOP_BACK_OFF = "CrashLoopBackOff";
        /// A pull failed.
        ERR_IMAGE_PULL = "ErrImagePull";
        /// A pull failed and will be tried again after a delay.
        IMAGE_PULL_BACK_OFF = "ImagePullBackOff";
        /// Policy `Never` and the image is not on the node.
        ERR_IMAGE_NEVER_PULL = "ErrImageNeverPull";
        /// The runtime could not say whether it has the image.
        IMAGE_INSPECT_ERROR = "ImageInspectError";
        /// The image's name cannot be parsed.
        INVALID_IMAGE_NAME = "InvalidImageName";
        /// The registry could not be reached.
        REGISTRY_UNAVAILABLE = "RegistryUnavailable";
        /// The image's signature is missing or wrong.
        SIGNATURE_VALIDATION_FAILED = "SignatureValidationFailed";
        /// The container's configuration could not be made from its spec.
        CREATE_CONTAINER_CONFIG_ERROR = "CreateContainerConfigError";
        /// The runtime refused to create it.
        CREATE_CONTAINER_ERROR = "CreateContainerError";
        /// The step before creation failed.
        PRE_CREATE_HOOK_ERROR = "PreCreateHookError";
        /// The step before the start failed.
        PRE_START_HOOK_ERROR = "PreStartHookError";
        /// The postStart hook failed, and the container was killed for it.
        POST_START_HOOK_ERROR = "PostStartHookError";
        /// The runtime could not start it.
        RUN_CONTAINER_ERROR = "RunContainerError";
        /// The sandbox could not be created.
        CREATE_POD_SANDBOX_ERROR = "CreatePodSandboxError";
        /// The sandbox's configuration could not be made.
        CONFIG_POD_SANDBOX_ERROR = "ConfigPodSandboxError";
        /// The sandbox could not be stopped.
        KILL_POD_SANDBOX_ERROR = "KillPodSandboxError";
        /// The container could not be stopped.
        KILL_CONTAINER_ERROR = "KillContainerError";
        /// The container could not be removed.
        REMOVE_CONTAINER_ERROR = "RemoveContainerError";
    }
}

/// `state.terminated.reason` of containers.
pub mod terminated {
    reasons! {
        /// Exit code 0.
        COMPLETED = "Completed";
        /// Another exit code.
        ERROR = "Error";
        /// Killed by the kernel for want of memory.
        OOM_KILLED = "OOMKilled";
        /// It could not run at all.
        CONTAINER_CANNOT_RUN = "ContainerCannotRun";
        /// The runtime lost it while it ran: exit code 137.
        CONTAINER_STATUS_UNKNOWN = "ContainerStatusUnknown";
    }
}

/// Reasons of pod status and of its conditions.
pub mod pod {
    reasons! {
        /// `activeDeadlineSeconds` is over.
        DEADLINE_EXCEEDED = "DeadlineExceeded";
        /// All containers ended well, for good.
        POD_COMPLETED = "PodCompleted";
        /// The pod ended in phase Failed.
        POD_FAILED = "PodFailed";
        /// No status of the containers is known.
        UNKNOWN_CONTAINER_STATUSES = "UnknownContainerStatuses";
        /// Some containers are not ready.
        CONTAINERS_NOT_READY = "ContainersNotReady";
        /// Some init containers have not finished.
        CONTAINERS_NOT_INITIALIZED = "ContainersNotInitialized";
        /// A readiness gate is not True.
        READINESS_GATES_NOT_READY = "ReadinessGatesNotReady";
        /// A rule asked for the restart of all containers.
        RESTART_ALL_CONTAINERS_STARTED = "RestartAllContainersStarted";
    }
}

/// Reasons of node conditions.
pub mod node {
    reasons! {
        /// Ready: pods can run.
        KUBELET_READY = "KubeletReady";
        /// Ready: something is in the way of pods.
        KUBELET_NOT_READY = "KubeletNotReady";
        /// MemoryPressure: there is enough memory.
        KUBELET_HAS_SUFFICIENT_MEMORY = "KubeletHasSufficientMemory";
        /// MemoryPressure: memory is short.
        KUBELET_HAS_INSUFFICIENT_MEMORY = "KubeletHasInsufficientMemory";
        /// DiskPressure: there is enough room on the disks.
        KUBELET_HAS_NO_DISK_PRESSURE = "KubeletHasNoDiskPressure";
        /// DiskPressure: a disk is nearly full.
        KUBELET_HAS_DISK_PRESSURE = "KubeletHasDiskPressure";
        /// PIDPressure: there is room for more processes.
        KUBELET_HAS_SUFFICIENT_PID = "KubeletHasSufficientPID";
        /// PIDPressure: nearly all process ids are taken.
        KUBELET_HAS_INSUFFICIENT_PID = "KubeletHasInsufficientPID";
    }
}

/// Reasons of events.
pub mod event {
    reasons! {
        /// A container was created.
        CREATED = "Created";
        /// A container was started.
        STARTED = "Started";
        /// Something to do with a container or image failed.
        FAILED = "Failed";
        /// A container is being stopped.
        KILLING = "Killing";
        /// A delay before the next attempt.
        BACK_OFF = "BackOff";
        /// A pod did not stop in time.
        EXCEEDED_GRACE_PERIOD = "ExceededGracePeriod";
        /// A pod could not be stopped.
        FAILED_KILL_POD = "FailedKillPod";
        /// The pod's cgroup could not be made.
        FAILED_CREATE_POD_CONTAINER = "FailedCreatePodContainer";
        /// The runtime's network is not ready.
        NETWORK_NOT_READY = "NetworkNotReady";
        /// An image is being pulled.
        PULLING = "Pulling";
        /// An image is there.
        PULLED = "Pulled";
        /// The image could not be inspected.
        INSPECT_FAILED = "InspectFailed";
        /// Policy Never, no image.
        ERR_IMAGE_NEVER_PULL = "ErrImageNeverPull";
        /// Secrets of imagePullSecrets could not be had.
        FAILED_PULL_SECRET = "FailedToRetrieveImagePullSecret";
        /// Images could not be removed, several times in a row.
        IMAGE_GC_FAILED = "ImageGCFailed";
        /// The image file system says that it has no room at all, used or not.
        INVALID_DISK_CAPACITY = "InvalidDiskCapacity";
        /// Removing images did not make the room that is needed.
        FREE_DISK_SPACE_FAILED = "FreeDiskSpaceFailed";
        /// A volume could not be attached to the node.
        FAILED_ATTACH_VOLUME = "FailedAttachVolume";
        /// Volumes could not be prepared.
        FAILED_MOUNT = "FailedMount";
        /// A volume could not be made a device of a pod.
        FAILED_MAP_VOLUME = "FailedMapVolume";
        /// The file system of a disk is not the one that its PersistentVolume asks for, and could not be mounted.
        FAILED_MOUNT_ON_FILESYSTEM_MISMATCH = "FailedMountOnFilesystemMismatch";
        /// It takes long to give a volume to the pod's group.
        VOLUME_PERMISSION_CHANGE_IN_PROGRESS = "VolumePermissionChangeInProgress";
        /// The file system of a volume has its new size.
        FILE_SYSTEM_RESIZE_SUCCESSFUL = "FileSystemResizeSuccessful";
        /// The file system of a volume should grow, and is only read.
        FILE_SYSTEM_RESIZE_FAILED = "FileSystemResizeFailed";
        /// A volume could not grow while it was in use.
        VOLUME_RESIZE_FAILED = "VolumeResizeFailed";
        /// A driver says that something is wrong with a volume.
        VOLUME_CONDITION_ABNORMAL = "VolumeConditionAbnormal";
        /// A volume is given to the group of another pod, which has it already.
        ALREADY_MOUNTED_VOLUME = "AlreadyMountedVolume";
        /// A new sandbox takes the place of an old one.
        SANDBOX_CHANGED = "SandboxChanged";
        /// A sandbox could not be created.
        FAILED_CREATE_POD_SANDBOX = "FailedCreatePodSandBox";
        /// A new sandbox's state could not be read.
        FAILED_POD_SANDBOX_STATUS = "FailedPodSandBoxStatus";
        /// A round of work for the pod failed.
        FAILED_SYNC = "FailedSync";
        /// A manifest is not valid.
        FAILED_VALIDATION = "FailedValidation";
        /// A postStart hook failed.
        FAILED_POST_START_HOOK = "FailedPostStartHook";
        /// A preStop hook failed.
        FAILED_PRE_STOP_HOOK = "FailedPreStopHook";
        /// A probe failed, or could not be made.
        UNHEALTHY = "Unhealthy";
        /// A probe succeeded, and somebody should look at its answer.
        PROBE_WARNING = "ProbeWarning";
        /// An HTTPS hook was answered in HTTP and tried again so.
        LIFECYCLE_HTTP_FALLBACK = "LifecycleHTTPFallback";
        /// `activeDeadlineSeconds` is over.
        DEADLINE_EXCEEDED = "DeadlineExceeded";
        /// The pod has to make way for a critical one.
        PREEMPTING = "Preempting";
        /// No cluster DNS is configured for a pod that wants it.
        MISSING_CLUSTER_DNS = "MissingClusterDNS";
        /// DNS settings went over a limit and were cut.
        DNS_CONFIG_FORMING = "DNSConfigForming";
        /// The agent starts.
        STARTING = "Starting";
        /// The node takes pods.
        NODE_READY = "NodeReady";
        /// The node takes no pods.
        NODE_NOT_READY = "NodeNotReady";
        /// The scheduler may place pods on the node.
        NODE_SCHEDULABLE = "NodeSchedulable";
        /// The scheduler may not place pods on the node.
        NODE_NOT_SCHEDULABLE = "NodeNotSchedulable";
        /// Memory is no longer short.
        NODE_HAS_SUFFICIENT_MEMORY = "NodeHasSufficientMemory";
        /// Memory is short.
        NODE_HAS_INSUFFICIENT_MEMORY = "NodeHasInsufficientMemory";
        /// No disk is nearly full any more.
        NODE_HAS_NO_DISK_PRESSURE = "NodeHasNoDiskPressure";
        /// A disk is nearly full.
        NODE_HAS_DISK_PRESSURE = "NodeHasDiskPressure";
        /// Process ids are no longer short.
        NODE_HAS_SUFFICIENT_PID = "NodeHasSufficientPID";
        /// Process ids are short.
        NODE_HAS_INSUFFICIENT_PID = "NodeHasInsufficientPID";
        /// The machine was booted since its status was last reported.
        REBOOTED = "Rebooted";
        /// Pods together, and daemons, are held to their limits.
        NODE_ALLOCATABLE_ENFORCED = "NodeAllocatableEnforced";
        /// They could not be.
        FAILED_NODE_ALLOCATABLE_ENFORCEMENT = "FailedNodeAllocatableEnforcement";
        /// What volumes hold in memory may be swapped out.
        POSSIBLE_MEMORY_BACKED_VOLUMES_ON_DISK = "PossibleMemoryBackedVolumesOnDisk";
        /// The node's cgroups are version 1.
        CGROUP_V1 = "CgroupV1";
    }
}
