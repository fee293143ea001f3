//! What the store looks like: to tests, and to clients of CRI.

use std::collections::{BTreeMap, HashMap};

use cri::v1;

use super::store::{Call, Container, Image, Sandbox, Store};

/// What tests ask.
impl Store {
    /// Sandboxes of the pod `name`, newest first.
    #[must_use]
    pub fn sandboxes(&self, pod: &str) -> Vec<&Sandbox> {
        let mut found: Vec<_> = self.sandboxes.values().filter(|sandbox| sandbox.pod() == pod).collect();
        found.sort_by_key(|sandbox| std::cmp::Reverse(sandbox.created_at));
        found
    }

    /// All sandboxes.
    pub fn all_sandboxes(&self) -> impl Iterator<Item = &Sandbox> {
        self.sandboxes.values()
    }

    /// Containers of the pod `name`, newest first.
    #[must_use]
    pub fn containers(&self, pod: &str) -> Vec<&Container> {
        let mut found: Vec<_> = self.containers.values().filter(|container| container.pod == pod).collect();
        found.sort_by_key(|container| std::cmp::Reverse(container.created_at));
        found
    }

    /// All containers.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.values()
    }

    /// The newest instance of a container.
    #[must_use]
    pub fn container(&self, pod: &str, name: &str) -> Option<&Container> {
        let instances = self.containers.values().filter(|c| c.pod == pod && c.name() == name);
        instances.max_by_key(|container| container.created_at)
    }

    /// Names of the containers of a pod that run, in order of their names.
    #[must_use]
    pub fn running_containers(&self, pod: &str) -> Vec<&str> {
        let running = self.containers.values().filter(|c| c.pod == pod && c.is_running());
        let mut names: Vec<_> = running.map(Container::name).collect();
        names.sort_unstable();
        names
    }

    /// Whether the newest instance of a container runs.
    #[must_use]
    pub fn is_running(&self, pod: &str, name: &str) -> bool {
        self.container(pod, name).is_some_and(Container::is_running)
    }

    /// How often a container was started, by pod name.
    #[must_use]
    pub fn starts(&self, pod: &str, container: &str) -> u64 {
        self.starts.get(&(pod.to_owned(), container.to_owned())).copied().unwrap_or_default()
    }

    /// Images in the store, by the name that they were pulled by.
    #[must_use]
    pub fn images(&self) -> &BTreeMap<String, Image> {
        &self.images
    }

    /// The user names that pulls came with, in their order; empty for a pull without credentials.
    #[must_use]
    pub fn pull_users(&self) -> &[String] {
        &self.pull_users
    }

    /// How often a call was made.
    #[must_use]
    pub fn calls(&self, call: &str) -> u64 {
        self.counts.get(call).copied().unwrap_or_default()
    }

    /// All calls in the order in which they arrived.
    #[must_use]
    pub fn journal(&self) -> &[Call] {
        &self.journal
    }

    /// Calls that change something of the pod `name`, as `Call` or `Call container`: what tests compare. Calls that
    /// only look are left out, and pulls, which name an image.
    #[must_use]
    pub fn journal_of(&self, pod: &str) -> Vec<String> {
        let of_pod = self.journal.iter().filter(|call| call.pod.as_deref() == Some(pod) && call.changes());
        of_pod
            .map(|call| match &call.container {
                Some(container) => format!("{} {container}", call.call),
                None => call.call.to_owned(),
            })
            .collect()
    }

    /// What no kubelet should have done.
    #[must_use]
    pub fn violations(&self) -> &[String] {
        &self.violations
    }
}

impl Call {
    /// Whether it is one that changes sandboxes or containers.
    #[must_use]
    pub fn changes(&self) -> bool {
        const CHANGES: [&str; 10] = [
            "RunPodSandbox",
            "StopPodSandbox",
            "RemovePodSandbox",
            "UpdatePodSandboxResources",
            "CreateContainer",
            "StartContainer",
            "StopContainer",
            "RemoveContainer",
            "UpdateContainerResources",
            "ExecSync",
        ];
        CHANGES.contains(&self.call)
    }
}

/// What clients of CRI are told.
impl Store {
    pub(super) fn list_pod_sandboxes(&self, filter: Option<v1::PodSandboxFilter>) -> Vec<v1::PodSandbox> {
        let filter = filter.unwrap_or_default();
        let matches = |sandbox: &&Sandbox| {
            (filter.id.is_empty() || filter.id == sandbox.id)
                && filter.state.is_none_or(|state| state.state == sandbox.state() as i32)
                && selects(&filter.label_selector, &sandbox.config.labels)
        };
        let ids = self.sandbox_ids(&filter.label_selector);
        ids.into_iter().filter_map(|id| self.sandboxes.get(id)).filter(matches).map(Sandbox::listed).collect()
    }

    pub(super) fn list_containers(&self, filter: Option<v1::ContainerFilter>) -> Vec<v1::Container> {
        let filter = filter.unwrap_or_default();
        let matches = |container: &&Container| {
            (filter.id.is_empty() || filter.id == container.id)
                && (filter.pod_sandbox_id.is_empty() || filter.pod_sandbox_id == container.sandbox_id)
                && filter.state.is_none_or(|state| state.state == container.state as i32)
                && selects(&filter.label_selector, &container.config.labels)
        };
        let ids = self.container_ids(&filter.label_selector);
        let found = ids.into_iter().filter_map(|id| self.containers.get(id)).filter(matches);
        found.map(|container| self.listed_container(container)).collect()
    }

    fn listed_container(&self, container: &Container) -> v1::Container {
        v1::Container {
            id: container.id.clone(),
            pod_sandbox_id: container.sandbox_id.clone(),
            metadata: container.config.metadata.clone(),
            image: container.config.image.clone(),
            image_ref: container.image_id.clone(),
            state: container.state as i32,
            created_at: container.created_at,
            labels: container.config.labels.clone(),
            annotations: container.config.annotations.clone(),
            image_id: container.image_id.clone(),
        }
    }

    pub(super) fn container_status(&self, container: &Container) -> v1::ContainerStatus {
        let digest = self.image(&container.image_id).map(Image::repo_digest);
        v1::ContainerStatus {
            id: container.id.clone(),
            metadata: container.config.metadata.clone(),
            state: container.state as i32,
            created_at: container.created_at,
            started_at: container.started_at,
            finished_at: container.finished_at,
            exit_code: container.exit_code,
            image: container.config.image.clone(),
            image_ref: digest.unwrap_or_else(|| container.image_id.clone()),
            reason: container.reason.clone(),
            message: String::new(),
            labels: container.config.labels.clone(),
            annotations: container.config.annotations.clone(),
            mounts: container.config.mounts.clone(),
            log_path: container.log_path.to_string_lossy().into_owned(),
            resources: container
                .resources
                .clone()
                .map(|linux| v1::ContainerResources { linux: Some(linux), windows: None }),
            image_id: container.image_id.clone(),
            user: None,
            stop_signal: container.config.stop_signal,
        }
    }

    pub(super) fn runtime_status(&self, verbose: bool) -> v1::StatusResponse {
        let config = self.sandbox_image.as_ref().map(|image| format!("{{\"sandboxImage\": {image:?}}}"));
        v1::StatusResponse {
            status: Some(v1::RuntimeStatus { conditions: self.conditions.values().cloned().collect() }),
            runtime_handlers: self.handlers.clone(),
            features: Some(v1::RuntimeFeatures { supplemental_groups_policy: true, ..Default::default() }),
            info: config
                .filter(|_| verbose)
                .map(|config| ("config".to_owned(), config))
                .into_iter()
                .collect(),
        }
    }
}

impl Sandbox {
    pub(super) fn state(&self) -> v1::PodSandboxState {
        if self.ready { v1::PodSandboxState::SandboxReady } else { v1::PodSandboxState::SandboxNotready }
    }

    fn listed(&self) -> v1::PodSandbox {
        v1::PodSandbox {
            id: self.id.clone(),
            metadata: self.config.metadata.clone(),
            state: self.state() as i32,
            created_at: self.created_at,
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            runtime_handler: self.runtime_handler.clone(),
        }
    }

    pub(super) fn status(&self) -> v1::PodSandboxStatus {
        let options = v1::NamespaceOption { network: self.network() as i32, ..Default::default() };
        let mut ips = self.ips.iter().cloned();
        v1::PodSandboxStatus {
            id: self.id.clone(),
            metadata: self.config.metadata.clone(),
            state: self.state() as i32,
            created_at: self.created_at,
            network: Some(v1::PodSandboxNetworkStatus {
                ip: ips.next().unwrap_or_default(),
                additional_ips: ips.map(|ip| v1::PodIp { ip }).collect(),
            }),
            linux: Some(v1::LinuxPodSandboxStatus {
                namespaces: Some(v1::Namespace { options: Some(options) }),
            }),
            labels: self.config.labels.clone(),
            annotations: self.config.annotations.clone(),
            runtime_handler: self.runtime_handler.clone(),
        }
    }
}

impl Image {
    /// Its name without a tag, with the digest.
    pub(super) fn repo_digest(&self) -> String {
        let name = self.name.split('@').next().unwrap_or_default();
        let end = match name.rfind(':') {
            Some(colon) if !name[colon..].contains('/') => colon,
            _ => name.len(),
        };
        format!("{}@{}", &name[..end], self.id)
    }

    pub(super) fn message(&self) -> v1::Image {
        v1::Image {
            id: self.id.clone(),
            repo_tags: if self.name.contains('@') { vec![] } else { vec![self.name.clone()] },
            repo_digests: vec![self.repo_digest()],
            size: self.size,
            pinned: self.pinned,
            ..Default::default()
        }
    }
}

/// Whether `labels` have all that `selector` demands.
pub(super) fn selects(selector: &HashMap<String, String>, labels: &HashMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
