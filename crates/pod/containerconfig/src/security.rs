//! Security contexts (Kubernetes: "Configure a Security Context for a Pod or Container").

mod profile;

use cri::v1::{
    Capability, Int64Value, LinuxContainerSecurityContext, LinuxSandboxSecurityContext, NamespaceMode,
    NamespaceOption, SeLinuxOption, SecurityProfile, SupplementalGroupsPolicy, UserNamespace,
};
use types::corev1::{Container, PodSecurityContext, SELinuxOptions, SecurityContext};
use types::{Pod, pod};

use crate::{ConfigError, IdMappings, NodeFacts};

/// Paths that containers do not see, unless their `procMount` is `Unmasked`.
pub const MASKED_PATHS: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// Paths that containers cannot write to, unless their `procMount` is `Unmasked`.
pub const READONLY_PATHS: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Why a security context cannot be met.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SecurityError {
    /// `runAsNonRoot` with `runAsUser: 0`.
    #[error(
        "container {0:?} has runAsNonRoot, and runAsUser is 0: set another user, or leave out runAsNonRoot"
    )]
    RunsAsRoot(String),
    /// `runAsNonRoot`, and the image runs as root.
    #[error("container {0:?} has runAsNonRoot, and its image runs as root: set runAsUser")]
    ImageRunsAsRoot(String),
    /// `runAsNonRoot`, and nobody can tell who the image's user is.
    #[error(
        "container {container:?} has runAsNonRoot, and the user {user:?} of its image is a name, which may be root: set runAsUser"
    )]
    ImageUserIsAName {
        /// The container.
        container: String,
        /// The user.
        user: String,
    },
    /// A profile of the node without its name, or one that leads elsewhere.
    #[error(
        "the {kind} profile {name:?} of type Localhost is not usable: localhostProfile must name one of the node's, without leading / or .."
    )]
    Profile {
        /// `seccomp` or `AppArmor`.
        kind: &'static str,
        /// The name as given.
        name: String,
    },
    /// A type of profile that does not exist.
    #[error("{kind} profile type {name:?} is not known: use RuntimeDefault, Localhost or Unconfined")]
    ProfileType {
        /// `seccomp` or `AppArmor`.
        kind: &'static str,
        /// The type as given.
        name: String,
    },
}

/// The user that an image runs as. An image that names none runs as root.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImageUser {
    /// As a number, if it is one.
    pub uid: Option<i64>,
    /// As a name; empty if it is a number, or none is set.
    pub name: String,
}

impl ImageUser {
    /// The user as a number, unless it is a name.
    fn known_uid(&self) -> Option<i64> {
        if self.name.is_empty() { Some(self.uid.unwrap_or(0)) } else { self.uid }
    }
}

/// What a container's security context is made from.
pub struct SecurityInput<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container.
    pub container: &'a Container,
    /// The user of its image.
    pub image_user: &'a ImageUser,
    /// The container whose processes an ephemeral container is to see.
    pub target_container_id: Option<&'a str>,
    /// Ids set aside for a pod with a user namespace.
    pub userns: Option<&'a IdMappings>,
    /// Facts about the node.
    pub facts: &'a NodeFacts,
}

/// The security context of a container: its own fields, then its pod's.
///
/// # Errors
/// If it must not run as the user it has, or a profile is not usable.
pub fn container_context(input: &SecurityInput<'_>) -> Result<LinuxContainerSecurityContext, ConfigError> {
    let SecurityInput { pod, container, image_user, .. } = *input;
    let (own, of_pod) = (own_context(container), pod_context(pod));
    let user = own.run_as_user.or(of_pod.run_as_user);
    if own.run_as_non_root.or(of_pod.run_as_non_root) == Some(true) {
        check_non_root(container, user, image_user)?;
    }
    let unmasked = own.proc_mount.as_deref() == Some("Unmasked");
    let paths =
        |list: &[&str]| if unmasked { Vec::new() } else { list.iter().map(|p| (*p).to_owned()).collect() };
    let apparmor = profile::apparmor(pod, container, own, of_pod)?;
    let mut namespaces = namespaces(pod, input.userns)?;
    if let Some(target) = input.target_container_id {
        namespaces.pid = NamespaceMode::Target.into();
        namespaces.target_id = target.to_owned();
    }
    #[allow(
        deprecated,
        reason = "runtimes before containerd 1.6 look for AppArmor profiles in the old field alone"
    )]
    Ok(LinuxContainerSecurityContext {
        capabilities: own.capabilities.as_ref().map(|capabilities| Capability {
            add_capabilities: capabilities.add.clone().unwrap_or_default(),
            drop_capabilities: capabilities.drop.clone().unwrap_or_default(),
            add_ambient_capabilities: Vec::new(),
        }),
        privileged: own.privileged == Some(true),
        namespace_options: Some(namespaces),
        selinux_options: own.se_linux_options.as_ref().or(of_pod.se_linux_options.as_ref()).map(selinux),
        run_as_user: int(user.or(image_user.known_uid())),
        run_as_group: int(own.run_as_group.or(of_pod.run_as_group)),
        run_as_username: if user.is_none() { image_user.name.clone() } else { String::new() },
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        supplemental_groups: supplemental_groups(of_pod),
        supplemental_groups_policy: groups_policy(of_pod).into(),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: paths(&MASKED_PATHS),
        readonly_paths: paths(&READONLY_PATHS),
        seccomp: Some(profile::seccomp(own, of_pod, input.facts)?),
        apparmor_profile: apparmor.as_ref().map(profile::legacy_apparmor).unwrap_or_default(),
        apparmor,
        ..LinuxContainerSecurityContext::default()
    })
}

/// The security context of a pod's sandbox. It is privileged if any container is, since no container can have more
/// than its sandbox.
///
/// # Errors
/// If the pod wants a user namespace, and no ids are set aside for it.
pub fn sandbox_context(
    pod: &Pod,
    userns: Option<&IdMappings>,
) -> Result<LinuxSandboxSecurityContext, ConfigError> {
    let of_pod = pod_context(pod);
    let privileged =
        pod::containers(pod).any(|(_, container)| own_context(&container).privileged == Some(true));
    Ok(LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod, userns)?),
        selinux_options: of_pod.se_linux_options.as_ref().map(selinux),
        run_as_user: int(of_pod.run_as_user),
        run_as_group: int(of_pod.run_as_group),
        supplemental_groups: supplemental_groups(of_pod),
        supplemental_groups_policy: groups_policy(of_pod).into(),
        privileged,
        seccomp: Some(SecurityProfile::default()),
        ..LinuxSandboxSecurityContext::default()
    })
}

/// Namespaces of the pod and of each container alike.
fn namespaces(pod: &Pod, userns: Option<&IdMappings>) -> Result<NamespaceOption, ConfigError> {
    let spec = pod::spec(pod);
    let node_or = |node: Option<bool>, other: NamespaceMode| {
        i32::from(if node == Some(true) { NamespaceMode::Node } else { other })
    };
    let shared = spec.share_process_namespace == Some(true);
    let pid = if shared { NamespaceMode::Pod } else { NamespaceMode::Container };
    let userns_options = match (spec.host_users, userns) {
        (Some(false), Some(ids)) => {
            UserNamespace { mode: NamespaceMode::Pod.into(), uids: ids.uids.clone(), gids: ids.gids.clone() }
        }
        (Some(false), None) => return Err(ConfigError::UserNamespace),
        _ => UserNamespace { mode: NamespaceMode::Node.into(), ..UserNamespace::default() },
    };
    Ok(NamespaceOption {
        network: node_or(spec.host_network, NamespaceMode::Pod),
        pid: node_or(spec.host_pid, pid),
        ipc: node_or(spec.host_ipc, NamespaceMode::Pod),
        target_id: String::new(),
        userns_options: Some(userns_options),
    })
}

fn check_non_root(container: &Container, user: Option<i64>, image: &ImageUser) -> Result<(), SecurityError> {
    let name = || container.name.clone();
    match (user, image.known_uid()) {
        (Some(0), _) => Err(SecurityError::RunsAsRoot(name())),
        (None, Some(0)) => Err(SecurityError::ImageRunsAsRoot(name())),
        (None, None) => Err(SecurityError::ImageUserIsAName { container: name(), user: image.name.clone() }),
        _ => Ok(()),
    }
}

fn own_context(container: &Container) -> &SecurityContext {
    const NONE: &SecurityContext = &SecurityContext {
        allow_privilege_escalation: None,
        app_armor_profile: None,
        capabilities: None,
        privileged: None,
        proc_mount: None,
        read_only_root_filesystem: None,
        run_as_group: None,
        run_as_non_root: None,
        run_as_user: None,
        se_linux_options: None,
        seccomp_profile: None,
        windows_options: None,
    };
    container.security_context.as_ref().unwrap_or(NONE)
}

fn pod_context(pod: &Pod) -> &PodSecurityContext {
    const NONE: &PodSecurityContext = &PodSecurityContext {
        app_armor_profile: None,
        fs_group: None,
        fs_group_change_policy: None,
        run_as_group: None,
        run_as_non_root: None,
        run_as_user: None,
        se_linux_change_policy: None,
        se_linux_options: None,
        seccomp_profile: None,
        supplemental_groups: None,
        supplemental_groups_policy: None,
        sysctls: None,
        windows_options: None,
    };
    pod::spec(pod).security_context.as_ref().unwrap_or(NONE)
}

fn supplemental_groups(context: &PodSecurityContext) -> Vec<i64> {
    context.fs_group.into_iter().chain(context.supplemental_groups.iter().flatten().copied()).collect()
}

/// Adds `more` to the supplementary groups of a sandbox or a container: those of volumes that the pod has.
pub fn add_groups(groups: &mut Vec<i64>, more: &[i64]) {
    for group in more {
        if !groups.contains(group) {
            groups.push(*group);
        }
    }
}

fn groups_policy(context: &PodSecurityContext) -> SupplementalGroupsPolicy {
    match context.supplemental_groups_policy.as_deref() {
        Some("Strict") => SupplementalGroupsPolicy::Strict,
        _ => SupplementalGroupsPolicy::Merge,
    }
}

fn selinux(options: &SELinuxOptions) -> SeLinuxOption {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    SeLinuxOption {
        user: text(&options.user),
        role: text(&options.role),
        r#type: text(&options.type_),
        level: text(&options.level),
    }
}

fn int(value: Option<i64>) -> Option<Int64Value> {
    value.map(|value| Int64Value { value })
}

#[cfg(test)]
mod tests;
