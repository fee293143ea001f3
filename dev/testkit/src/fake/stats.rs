//! Usage of sandboxes and containers: who they are, and that they use nothing.

use cri::v1;

use super::store::{Container, Sandbox, Store};

impl Store {
    pub(super) fn container_stats(container: &Container) -> v1::ContainerStats {
        v1::ContainerStats {
            attributes: Some(v1::ContainerAttributes {
                id: container.id.clone(),
                metadata: container.config.metadata.clone(),
                labels: container.config.labels.clone(),
                annotations: container.config.annotations.clone(),
            }),
            ..Default::default()
        }
    }

    pub(super) fn pod_sandbox_stats(&self, sandbox: &Sandbox) -> v1::PodSandboxStats {
        let inside = self.all_containers().filter(|container| container.sandbox_id == sandbox.id);
        v1::PodSandboxStats {
            attributes: Some(v1::PodSandboxAttributes {
                id: sandbox.id.clone(),
                metadata: sandbox.config.metadata.clone(),
                labels: sandbox.config.labels.clone(),
                annotations: sandbox.config.annotations.clone(),
            }),
            linux: Some(v1::LinuxPodSandboxStats {
                containers: inside.filter(|c| c.is_running()).map(Self::container_stats).collect(),
                ..Default::default()
            }),
            windows: None,
        }
    }
}
