//! CRI's messages as values of `types`. Pure: whatever a runtime answers becomes a value, and what makes no sense in
//! it is left out.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use types::observed::{Exit, NamespaceMode, ObservedMount, ObservedResources, ObservedUser};
use types::{
    ContainerState, ObservedContainer, ObservedSandbox, PodName, PodRef, SandboxId, SandboxState, labels,
};

use crate::{
    CgroupDriver, Condition, FilesystemUsage, Image, ImageFsInfo, RuntimeHandler, RuntimeStatus, Version, v1,
};

/// Nanoseconds since 1970 as a time. 0 stands for "never"; so does anything before 1970, which is how Go's zero time
/// arrives.
pub(crate) fn timestamp(nanoseconds: i64) -> Option<Timestamp> {
    if nanoseconds <= 0 { None } else { Timestamp::from_nanosecond(i128::from(nanoseconds)).ok() }
}

/// Whose a sandbox or container is, by the labels that a kubelet gave it; `None` if no kubelet did.
pub(crate) fn pod_ref<S: BuildHasher>(labels: &HashMap<String, String, S>) -> Option<PodRef> {
    let label = |key| labels.get(key).filter(|value| !value.is_empty());
    Some(PodRef {
        name: PodName::new(label(labels::POD_NAMESPACE)?, label(labels::POD_NAME)?),
        uid: label(labels::POD_UID)?.as_str().into(),
    })
}

fn sandbox_state(state: i32) -> SandboxState {
    match v1::PodSandboxState::try_from(state) {
        Ok(v1::PodSandboxState::SandboxReady) => SandboxState::Ready,
        Ok(v1::PodSandboxState::SandboxNotready) | Err(_) => SandboxState::NotReady,
    }
}

fn namespace_mode(mode: i32) -> Option<NamespaceMode> {
    match v1::NamespaceMode::try_from(mode).ok()? {
        v1::NamespaceMode::Pod => Some(NamespaceMode::Pod),
        v1::NamespaceMode::Container => Some(NamespaceMode::Container),
        v1::NamespaceMode::Node => Some(NamespaceMode::Node),
        v1::NamespaceMode::Target => Some(NamespaceMode::Target),
    }
}

fn created_at(nanoseconds: i64) -> Timestamp {
    timestamp(nanoseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn ips(network: &v1::PodSandboxNetworkStatus) -> Vec<IpAddr> {
    std::iter::once(&network.ip)
        .chain(network.additional_ips.iter().map(|ip| &ip.ip))
        .filter_map(|ip| ip.parse().ok())
        .collect()
}

/// An entry of `ListPodSandbox`; `None` if it is no kubelet's.
pub(crate) fn listed_sandbox(sandbox: v1::PodSandbox) -> Option<(PodRef, ObservedSandbox)> {
    let pod = pod_ref(&sandbox.labels)?;
    let observed = ObservedSandbox {
        id: sandbox.id.into(),
        attempt: sandbox.metadata.map_or(0, |metadata| metadata.attempt),
        state: sandbox_state(sandbox.state),
        created_at: created_at(sandbox.created_at),
        ips: Vec::new(),
        network: None,
        runtime_handler: sandbox.runtime_handler.into(),
    };
    Some((pod, observed))
}

/// The answer of `PodSandboxStatus`.
pub(crate) fn sandbox_status(status: &v1::PodSandboxStatus) -> ObservedSandbox {
    let options = || status.linux.as_ref()?.namespaces.as_ref()?.options.as_ref();
    ObservedSandbox {
        id: status.id.as_str().into(),
        attempt: status.metadata.as_ref().map_or(0, |metadata| metadata.attempt),
        state: sandbox_state(status.state),
        created_at: created_at(status.created_at),
        ips: status.network.as_ref().map(ips).unwrap_or_default(),
        network: options().and_then(|options| namespace_mode(options.network)),
        runtime_handler: status.runtime_handler.as_str().into(),
    }
}

/// An entry of `ListContainers`; `None` if it is no kubelet's. What a list does not tell is filled in as
/// [`crate::Runtime::list_containers`] says.
pub(crate) fn listed_container(container: v1::Container) -> Option<(PodRef, ObservedContainer)> {
    let pod = pod_ref(&container.labels)?;
    let status = v1::ContainerStatus {
        id: container.id,
        metadata: container.metadata,
        state: container.state,
        created_at: container.created_at,
        image: container.image,
        image_ref: container.image_ref,
        image_id: container.image_id,
        labels: container.labels,
        annotations: container.annotations,
        ..Default::default()
    };
    Some((pod, container_status(status, container.pod_sandbox_id.into())))
}

/// The answer of `ContainerStatus` for a container in `sandbox`.
pub(crate) fn container_status(status: v1::ContainerStatus, sandbox: SandboxId) -> ObservedContainer {
    let state = container_state(&status);
    let metadata = status.metadata.unwrap_or_default();
    let name = match status.labels.get(labels::CONTAINER_NAME) {
        Some(name) => name.as_str().into(),
        None => metadata.name.as_str().into(),
    };
    let annotation = |key| status.annotations.get(key).map(String::as_str);
    let image = status.image.unwrap_or_default();
    let image_id = if status.image_id.is_empty() { status.image_ref.clone() } else { status.image_id };
    ObservedContainer {
        name,
        sandbox,
        state,
        created_at: created_at(status.created_at),
        image: if image.user_specified_image.is_empty() { image.image } else { image.user_specified_image },
        image_ref: status.image_ref,
        image_id,
        hash: annotation(labels::CONTAINER_HASH).unwrap_or_default().to_owned(),
        restart_count: annotation(labels::CONTAINER_RESTART_COUNT)
            .and_then(|count| count.parse().ok())
            .unwrap_or(metadata.attempt),
        id: status.id.into(),
        log_path: status.log_path,
        mounts: status.mounts.into_iter().map(mount).collect(),
        user: status.user.and_then(|user| user.linux).map(user),
        resources: status.resources.and_then(|resources| resources.linux).map(|linux| resources(&linux)),
        annotations: Arc::new(BTreeMap::from_iter(status.annotations)),
    }
}

fn container_state(status: &v1::ContainerStatus) -> ContainerState {
    let created_at = created_at(status.created_at);
    match v1::ContainerState::try_from(status.state) {
        Ok(v1::ContainerState::ContainerCreated) => ContainerState::Created,
        Ok(v1::ContainerState::ContainerRunning) => {
            ContainerState::Running { started_at: timestamp(status.started_at).unwrap_or(created_at) }
        }
        Ok(v1::ContainerState::ContainerExited) => ContainerState::Exited(Exit {
            code: status.exit_code,
            reason: status.reason.clone(),
            message: status.message.clone(),
            started_at: timestamp(status.started_at),
            finished_at: timestamp(status.finished_at).unwrap_or(created_at),
        }),
        Ok(v1::ContainerState::ContainerUnknown) | Err(_) => ContainerState::Unknown,
    }
}

fn mount(mount: v1::Mount) -> ObservedMount {
    ObservedMount {
        container_path: mount.container_path,
        host_path: mount.host_path,
        readonly: mount.readonly,
        recursive_read_only: mount.recursive_read_only,
    }
}

fn user(user: v1::LinuxContainerUser) -> ObservedUser {
    ObservedUser { uid: user.uid, gid: user.gid, supplemental_groups: user.supplemental_groups }
}

fn resources(linux: &v1::LinuxContainerResources) -> ObservedResources {
    ObservedResources {
        cpu_shares: linux.cpu_shares,
        cpu_quota: linux.cpu_quota,
        cpu_period: linux.cpu_period,
        memory_limit: linux.memory_limit_in_bytes,
    }
}

/// The answer of `Version`.
pub(crate) fn version(response: v1::VersionResponse) -> Version {
    Version {
        name: response.runtime_name,
        version: response.runtime_version,
        api_version: response.runtime_api_version,
    }
}

/// The answer of `Status`. A condition that is not told does not hold.
pub(crate) fn runtime_status(response: v1::StatusResponse) -> RuntimeStatus {
    let conditions = response.status.unwrap_or_default().conditions;
    let condition = |name: &str| match conditions.iter().find(|condition| condition.r#type == name) {
        Some(told) => {
            Condition { status: told.status, reason: told.reason.clone(), message: told.message.clone() }
        }
        None => Condition {
            status: false,
            reason: "NotReported".to_owned(),
            message: format!("the container runtime does not report the condition {name}"),
        },
    };
    let features = response.features.unwrap_or_default();
    RuntimeStatus {
        ready: condition("RuntimeReady"),
        network: condition("NetworkReady"),
        handlers: response.runtime_handlers.into_iter().map(runtime_handler).collect(),
        supplemental_groups_policy: features.supplemental_groups_policy,
        user_namespaces_host_network: features.user_namespaces_host_network,
        mount_options: features.mount_options,
    }
}

/// The sandbox image in the configuration that a verbose answer of `Status` quotes, as containerd does.
pub(crate) fn sandbox_image(response: &v1::StatusResponse) -> Option<String> {
    let config: serde_json::Value = serde_json::from_str(response.info.get("config")?).ok()?;
    let image = config.get("sandboxImage")?.as_str()?;
    (!image.is_empty()).then(|| image.to_owned())
}

fn runtime_handler(handler: v1::RuntimeHandler) -> RuntimeHandler {
    let features = handler.features.unwrap_or_default();
    RuntimeHandler {
        name: handler.name,
        recursive_read_only_mounts: features.recursive_read_only_mounts,
        user_namespaces: features.user_namespaces,
    }
}

/// The answer of `RuntimeConfig`; `None` if it does not tell the driver, or one that nobody knows.
pub(crate) fn cgroup_driver(response: &v1::RuntimeConfigResponse) -> Option<CgroupDriver> {
    match v1::CgroupDriver::try_from(response.linux?.cgroup_driver).ok()? {
        v1::CgroupDriver::Systemd => Some(CgroupDriver::Systemd),
        v1::CgroupDriver::Cgroupfs => Some(CgroupDriver::Cgroupfs),
    }
}

/// An image of `ListImages` or `ImageStatus`.
pub(crate) fn image(image: v1::Image) -> Image {
    Image {
        id: image.id,
        repo_tags: image.repo_tags,
        repo_digests: image.repo_digests,
        size: image.size,
        uid: image.uid.map(|uid| uid.value),
        username: image.username,
        pinned: image.pinned,
        runtime_handler: image.spec.map(|spec| spec.runtime_handler).unwrap_or_default(),
    }
}

/// The answer of `ImageFsInfo`.
pub(crate) fn image_fs_info(response: v1::ImageFsInfoResponse) -> ImageFsInfo {
    let usage = |usage: v1::FilesystemUsage| FilesystemUsage {
        measured_at: timestamp(usage.timestamp),
        mountpoint: usage.fs_id.map(|id| id.mountpoint).unwrap_or_default().into(),
        used_bytes: usage.used_bytes.map_or(0, |bytes| bytes.value),
        inodes_used: usage.inodes_used.map(|inodes| inodes.value),
    };
    ImageFsInfo {
        images: response.image_filesystems.into_iter().map(usage).collect(),
        containers: response.container_filesystems.into_iter().map(usage).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_map<const N: usize>(entries: [(&str, &str); N]) -> HashMap<String, String> {
        entries.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    fn kubelet_labels() -> HashMap<String, String> {
        text_map([
            (labels::POD_NAME, "web"),
            (labels::POD_NAMESPACE, "shop"),
            (labels::POD_UID, "u-1"),
            (labels::CONTAINER_NAME, "app"),
        ])
    }

    #[test]
    fn times_before_1970_are_never() {
        assert_eq!(timestamp(0), None);
        assert_eq!(timestamp(-6_795_364_578_871_345_152), None);
        assert_eq!(timestamp(1_500_000_000), Some(Timestamp::from_millisecond(1500).unwrap()));
        assert!(timestamp(i64::MAX).is_some());
    }

    #[test]
    fn only_what_has_all_labels_of_a_kubelet_is_ours() {
        let pod = pod_ref(&kubelet_labels()).unwrap();
        assert_eq!((pod.to_string().as_str(), pod.uid.as_str()), ("shop/web", "u-1"));
        for key in [labels::POD_NAME, labels::POD_NAMESPACE, labels::POD_UID] {
            let mut missing = kubelet_labels();
            missing.remove(key);
            assert_eq!(pod_ref(&missing), None, "{key}");
            let mut empty = kubelet_labels();
            empty.insert(key.to_owned(), String::new());
            assert_eq!(pod_ref(&empty), None, "{key}");
        }
        assert_eq!(listed_sandbox(v1::PodSandbox::default()), None);
        assert_eq!(listed_container(v1::Container::default()), None);
    }

    #[test]
    fn sandbox_tells_ips_and_network_mode() {
        let ip = |ip: &str| v1::PodIp { ip: ip.to_owned() };
        let options = v1::NamespaceOption { network: v1::NamespaceMode::Node as i32, ..Default::default() };
        let mut status = v1::PodSandboxStatus {
            id: "s1".into(),
            metadata: Some(v1::PodSandboxMetadata { attempt: 3, ..Default::default() }),
            state: v1::PodSandboxState::SandboxReady as i32,
            created_at: 5,
            network: Some(v1::PodSandboxNetworkStatus {
                ip: "10.0.0.1".into(),
                additional_ips: vec![ip("not an ip"), ip("fd00::1"), ip("")],
            }),
            linux: Some(v1::LinuxPodSandboxStatus {
                namespaces: Some(v1::Namespace { options: Some(options) }),
            }),
            runtime_handler: "kata".into(),
            ..Default::default()
        };
        let observed = sandbox_status(&status);
        assert_eq!(observed.ips, ["10.0.0.1".parse::<IpAddr>().unwrap(), "fd00::1".parse().unwrap()]);
        assert_eq!(observed.state, SandboxState::Ready);
        assert_eq!(observed.attempt, 3);
        assert_eq!(observed.network, Some(NamespaceMode::Node));
        assert_eq!(&*observed.runtime_handler, "kata");

        status.state = 77;
        status.linux = None;
        status.network = None;
        let observed = sandbox_status(&status);
        assert_eq!((observed.state, observed.network), (SandboxState::NotReady, None));
        assert!(observed.ips.is_empty());
    }

    #[test]
    fn container_states() {
        let status = |state: i32| v1::ContainerStatus {
            state,
            created_at: 1,
            started_at: 2,
            finished_at: 3,
            exit_code: 137,
            reason: "OOMKilled".into(),
            message: "m".into(),
            ..Default::default()
        };
        let at = |nanoseconds| timestamp(nanoseconds).unwrap();
        let exit = |started_at, finished_at| {
            ContainerState::Exited(Exit {
                code: 137,
                reason: "OOMKilled".into(),
                message: "m".into(),
                started_at,
                finished_at,
            })
        };
        assert_eq!(container_state(&status(0)), ContainerState::Created);
        assert_eq!(container_state(&status(1)), ContainerState::Running { started_at: at(2) });
        assert_eq!(container_state(&status(2)), exit(Some(at(2)), at(3)));
        assert_eq!(container_state(&status(3)), ContainerState::Unknown);
        assert_eq!(container_state(&status(42)), ContainerState::Unknown);
        assert_eq!(container_state(&status(-1)), ContainerState::Unknown);
        let never_ran = v1::ContainerStatus { started_at: 0, finished_at: 0, ..status(2) };
        assert_eq!(container_state(&never_ran), exit(None, at(1)));
    }

    #[test]
    fn container_tells_who_it_is() {
        let status = v1::ContainerStatus {
            id: "c1".into(),
            metadata: Some(v1::ContainerMetadata { name: "other".into(), attempt: 4 }),
            image: Some(v1::ImageSpec {
                image: "sha256:1".into(),
                user_specified_image: "nginx:1".into(),
                ..Default::default()
            }),
            image_ref: "nginx@sha256:2".into(),
            labels: kubelet_labels(),
            annotations: text_map([
                (labels::CONTAINER_HASH, "abc"),
                (labels::CONTAINER_RESTART_COUNT, "7"),
                ("mine", "too"),
            ]),
            ..Default::default()
        };
        let observed = container_status(status.clone(), "s1".into());
        assert_eq!(&*observed.name, "app");
        assert_eq!(observed.sandbox.as_str(), "s1");
        assert_eq!(observed.image, "nginx:1");
        assert_eq!(
            (observed.image_ref.as_str(), observed.image_id.as_str()),
            ("nginx@sha256:2", "nginx@sha256:2")
        );
        assert_eq!((observed.hash.as_str(), observed.restart_count), ("abc", 7));
        assert_eq!(observed.annotations.len(), 3);

        let foreign = v1::ContainerStatus {
            labels: HashMap::new(),
            annotations: text_map([(labels::CONTAINER_RESTART_COUNT, "many")]),
            image_id: "sha256:3".into(),
            ..status
        };
        let observed = container_status(foreign, "s1".into());
        assert_eq!((&*observed.name, observed.restart_count), ("other", 4));
        assert_eq!(observed.image_id, "sha256:3");
    }

    #[test]
    fn container_tells_mounts_user_and_resources() {
        let status = v1::ContainerStatus {
            mounts: vec![v1::Mount {
                container_path: "/data".into(),
                readonly: true,
                recursive_read_only: true,
                ..Default::default()
            }],
            user: Some(v1::ContainerUser {
                linux: Some(v1::LinuxContainerUser { uid: 1000, gid: 1, supplemental_groups: vec![2, 3] }),
            }),
            resources: Some(v1::ContainerResources {
                linux: Some(v1::LinuxContainerResources {
                    cpu_shares: 512,
                    cpu_quota: 50_000,
                    cpu_period: 100_000,
                    memory_limit_in_bytes: 1 << 20,
                    ..Default::default()
                }),
                windows: None,
            }),
            ..Default::default()
        };
        let observed = container_status(status, "s1".into());
        let mount = ObservedMount {
            container_path: "/data".into(),
            host_path: String::new(),
            readonly: true,
            recursive_read_only: true,
        };
        assert_eq!(observed.mounts, [mount]);
        let user = ObservedUser { uid: 1000, gid: 1, supplemental_groups: vec![2, 3] };
        assert_eq!(observed.user, Some(user));
        let resources = ObservedResources {
            cpu_shares: 512,
            cpu_quota: 50_000,
            cpu_period: 100_000,
            memory_limit: 1 << 20,
        };
        assert_eq!(observed.resources, Some(resources));
    }

    #[test]
    fn conditions_that_are_not_told_do_not_hold() {
        let status = runtime_status(v1::StatusResponse::default());
        assert!(!status.ready.status && !status.network.status);
        assert_eq!(status.network.reason, "NotReported");
        assert!(status.network.message.contains("NetworkReady"));

        let told = v1::RuntimeCondition { r#type: "RuntimeReady".into(), status: true, ..Default::default() };
        let status = runtime_status(v1::StatusResponse {
            status: Some(v1::RuntimeStatus { conditions: vec![told] }),
            runtime_handlers: vec![v1::RuntimeHandler { name: "kata".into(), features: None }],
            ..Default::default()
        });
        assert!(status.ready.status && !status.network.status);
        assert_eq!(status.handlers[0].name, "kata");
    }

    #[test]
    fn cgroup_drivers() {
        let driver = |driver| {
            let linux = Some(v1::LinuxRuntimeConfiguration { cgroup_driver: driver });
            cgroup_driver(&v1::RuntimeConfigResponse { linux })
        };
        assert_eq!(driver(0), Some(CgroupDriver::Systemd));
        assert_eq!(driver(1), Some(CgroupDriver::Cgroupfs));
        assert_eq!(driver(9), None);
        assert_eq!(cgroup_driver(&v1::RuntimeConfigResponse { linux: None }), None);
    }

    #[test]
    fn filesystems_without_an_id_have_an_empty_mountpoint() {
        let usage = v1::FilesystemUsage {
            timestamp: 0,
            used_bytes: Some(v1::UInt64Value { value: 9 }),
            ..Default::default()
        };
        let info = image_fs_info(v1::ImageFsInfoResponse {
            image_filesystems: vec![usage],
            container_filesystems: vec![],
        });
        let expected =
            FilesystemUsage { measured_at: None, mountpoint: "".into(), used_bytes: 9, inodes_used: None };
        assert_eq!((info.images, info.containers), (vec![expected], vec![]));
    }
}
