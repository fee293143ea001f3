//! The configuration of a container.

use std::path::Path;

use cri::v1::{CdiDevice, ContainerConfig, ContainerMetadata, ImageSpec, LinuxContainerConfig, Signal};
use types::corev1::Container;
use types::expand::expand;
use types::{ContainerKind, Pod};

use crate::env;
use crate::mounts::{self, ResolvedDevice, ResolvedMount};
use crate::security::{ImageUser, SecurityInput, container_context};
use crate::variable::Variable;
use crate::{ConfigError, IdMappings, NodeFacts, hosts, labels, logpath, resources};

/// What a container's configuration is made from.
pub struct ContainerInput<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The container's part in it.
    pub kind: ContainerKind,
    /// The container.
    pub container: &'a Container,
    /// How often it has been restarted before.
    pub restart_count: u32,
    /// The image's reference as the runtime gave it.
    pub image_ref: &'a str,
    /// The user that the image runs as.
    pub image_user: &'a ImageUser,
    /// The handler of the pod's RuntimeClass; empty for the runtime's default.
    pub runtime_handler: &'a str,
    /// Its environment, from [`env::environment`].
    pub env: &'a [Variable],
    /// Its `volumeMounts`.
    pub mounts: &'a [ResolvedMount<'a>],
    /// Its devices, those of plugins too.
    pub devices: &'a [ResolvedDevice],
    /// Names of its CDI devices.
    pub cdi_devices: &'a [String],
    /// Annotations that plugins ask for.
    pub annotations: &'a labels::Map,
    /// The pod's hosts file on the node; `None` if the container is not given it ([`hosts::is_mounted`]).
    pub hosts_file: Option<&'a Path>,
    /// The file on the node for its termination message; `None` if it has none.
    pub termination_log: Option<&'a Path>,
    /// The id of the container that an ephemeral container has as its target.
    pub target_container_id: Option<&'a str>,
    /// The ids of a pod with `hostUsers: false`.
    pub userns: Option<&'a IdMappings>,
    /// Whether it has CPUs to itself.
    pub exclusive_cpus: bool,
    /// Facts about the node.
    pub facts: &'a NodeFacts,
}

/// The configuration of a container.
///
/// # Errors
/// If it must not run as the user it has, or something of its spec is not possible here.
pub fn container_config(input: &ContainerInput<'_>) -> Result<ContainerConfig, ConfigError> {
    let ContainerInput { pod, container, facts, restart_count, .. } = *input;
    let expanded = |texts: &Option<Vec<String>>| -> Vec<String> {
        texts.iter().flatten().map(|text| expand(text, |name| env::get(input.env, name)).0).collect()
    };
    let security = SecurityInput {
        pod,
        container,
        image_user: input.image_user,
        target_container_id: input.target_container_id,
        userns: input.userns,
        facts,
    };
    let linux = LinuxContainerConfig {
        resources: Some(resources::container_resources(
            pod,
            input.kind,
            container,
            input.exclusive_cpus,
            facts,
        )),
        security_context: Some(container_context(&security)?),
    };
    Ok(ContainerConfig {
        metadata: Some(ContainerMetadata { name: container.name.clone(), attempt: restart_count }),
        image: Some(ImageSpec {
            image: input.image_ref.to_owned(),
            user_specified_image: container.image.clone().unwrap_or_default(),
            runtime_handler: input.runtime_handler.to_owned(),
            ..ImageSpec::default()
        }),
        command: expanded(&container.command),
        args: expanded(&container.args),
        working_dir: container.working_dir.clone().unwrap_or_default(),
        envs: env::to_cri(input.env),
        mounts: all_mounts(input)?,
        devices: input.devices.iter().map(mounts::device).collect(),
        labels: labels::container_labels(pod, container),
        annotations: labels::container_annotations(pod, container, restart_count, input.annotations)?,
        log_path: logpath::container_log_path(&container.name, restart_count),
        stdin: container.stdin == Some(true),
        stdin_once: container.stdin_once == Some(true),
        tty: container.tty == Some(true),
        linux: Some(linux),
        windows: None,
        cdi_devices: input.cdi_devices.iter().map(|name| CdiDevice { name: name.clone() }).collect(),
        stop_signal: stop_signal(container)?.into(),
    })
}

/// The container's own mounts, then the files that the kubelet keeps for it.
fn all_mounts(input: &ContainerInput<'_>) -> Result<Vec<cri::v1::Mount>, ConfigError> {
    let recursive_read_only = input.facts.has_recursive_read_only(input.runtime_handler);
    let own = input.mounts.iter().map(|mount| mounts::to_cri(mount, recursive_read_only, input.userns));
    let mut all = own.collect::<Result<Vec<_>, _>>()?;
    let message = input.container.termination_message_path.as_deref().filter(|path| !path.is_empty());
    let files = [input.hosts_file.zip(Some(hosts::PATH)), input.termination_log.zip(message)];
    for (host_path, path) in files.into_iter().flatten() {
        all.push(mounts::own_file(host_path, path, input.facts.selinux, input.userns));
    }
    Ok(all)
}

/// `lifecycle.stopSignal`; names such as `SIGRTMIN+3` are spelled out in CRI.
fn stop_signal(container: &Container) -> Result<Signal, ConfigError> {
    let name = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref());
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(Signal::RuntimeDefault) };
    let spelled = format!("SIGNAL_{}", name.replace('+', "PLUS").replace('-', "MINUS"));
    Signal::from_str_name(&spelled).ok_or_else(|| ConfigError::StopSignal(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stop_signals() {
        let of = |lifecycle| {
            let json = json!({"name": "c", "lifecycle": lifecycle});
            stop_signal(&serde_json::from_value(json).unwrap())
        };
        assert_eq!(of(json!(null)), Ok(Signal::RuntimeDefault));
        assert_eq!(of(json!({"stopSignal": "SIGUSR1"})), Ok(Signal::Sigusr1));
        assert_eq!(of(json!({"stopSignal": "SIGRTMIN+3"})), Ok(Signal::Sigrtminplus3));
        assert_eq!(of(json!({"stopSignal": "SIGRTMAX-2"})), Ok(Signal::Sigrtmaxminus2));
        assert_eq!(of(json!({"stopSignal": "SIGNONE"})), Err(ConfigError::StopSignal("SIGNONE".into())));
    }
}
