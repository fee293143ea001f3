//! Calls about containers.

use std::path::Path;
use std::time::Duration;

use types::{ContainerId, ObservedContainer, PodRef, PodUid, SandboxId};

use crate::error::gone_is_done;
use crate::sandbox::{non_empty, of_pod};
use crate::{CriError, Operation, Runtime, convert, v1};

impl Runtime {
    /// Creates a container in a sandbox. `sandbox_config` is what the sandbox was made from.
    pub async fn create_container(
        &self,
        sandbox: &SandboxId,
        config: v1::ContainerConfig,
        sandbox_config: v1::PodSandboxConfig,
    ) -> Result<ContainerId, CriError> {
        let operation = Operation::CreateContainer;
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: sandbox.to_string(),
            config: Some(config),
            sandbox_config: Some(sandbox_config),
        };
        let mut client = self.client();
        let response =
            self.call(operation, request, |r| async move { client.create_container(r).await }).await?;
        non_empty(operation, response.container_id, "container id").map(ContainerId::from)
    }

    /// Starts a container that was created and never started.
    pub async fn start_container(&self, id: &ContainerId) -> Result<(), CriError> {
        let request = v1::StartContainerRequest { container_id: id.to_string() };
        let mut client = self.client();
        self.call(Operation::StartContainer, request, |r| async move { client.start_container(r).await })
            .await
            .map(drop)
    }

    /// Asks a container to stop, and kills it after `grace` (whole seconds). Returns once it has stopped; the call's
    /// deadline is the usual one after the grace has passed. Stopping it again, or what is gone, is no error.
    pub async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<(), CriError> {
        let request =
            v1::StopContainerRequest { container_id: id.to_string(), timeout: whole_seconds(grace) };
        let deadline = Some(self.request_timeout().saturating_add(grace));
        let mut client = self.client();
        let result = self
            .call_within(Operation::StopContainer, deadline, request, |r| async move {
                client.stop_container(r).await
            })
            .await
            .map(drop);
        gone_is_done(result)
    }

    /// Removes a container, by force if it runs. Removing it again is no error.
    pub async fn remove_container(&self, id: &ContainerId) -> Result<(), CriError> {
        let request = v1::RemoveContainerRequest { container_id: id.to_string() };
        let mut client = self.client();
        let result = self
            .call(Operation::RemoveContainer, request, |r| async move { client.remove_container(r).await })
            .await
            .map(drop);
        gone_is_done(result)
    }

    /// The state of one container, with all that the runtime tells. It does not tell the sandbox, which is left empty.
    pub async fn container_status(&self, id: &ContainerId) -> Result<ObservedContainer, CriError> {
        let operation = Operation::ContainerStatus;
        let request = v1::ContainerStatusRequest { container_id: id.to_string(), verbose: false };
        let mut client = self.client();
        let response =
            self.call(operation, request, |r| async move { client.container_status(r).await }).await?;
        let status = response.status.ok_or_else(|| CriError::incomplete(operation.name(), "status"))?;
        Ok(convert::container_status(status, "".into()))
    }

    /// The containers of the pod `uid`, or of all pods, in no particular order. Containers that no kubelet made are
    /// left out.
    ///
    /// A list tells which state a container is in, not since when or how it ended: it counts as started, or as ended
    /// with exit code 0, at the time of its creation. Ask [`Runtime::container_status`] before deciding by these.
    pub async fn list_containers(
        &self,
        uid: Option<&PodUid>,
    ) -> Result<Vec<(PodRef, ObservedContainer)>, CriError> {
        let filter = uid.map(|uid| v1::ContainerFilter { label_selector: of_pod(uid), ..Default::default() });
        let request = v1::ListContainersRequest { filter };
        let mut client = self.client();
        let response = self
            .call(Operation::ListContainers, request, |r| async move { client.list_containers(r).await })
            .await?;
        Ok(response.containers.into_iter().filter_map(convert::listed_container).collect())
    }

    /// Changes the resources of a container in place.
    pub async fn update_container_resources(
        &self,
        id: &ContainerId,
        resources: v1::LinuxContainerResources,
    ) -> Result<(), CriError> {
        let request = v1::UpdateContainerResourcesRequest {
            container_id: id.to_string(),
            linux: Some(resources),
            ..Default::default()
        };
        let mut client = self.client();
        self.call(Operation::UpdateContainerResources, request, |r| async move {
            client.update_container_resources(r).await
        })
        .await
        .map(drop)
    }

    /// Makes the runtime open a container's log file anew, after it was renamed. An error if the container does not
    /// run.
    pub async fn reopen_container_log(&self, id: &ContainerId) -> Result<(), CriError> {
        let request = v1::ReopenContainerLogRequest { container_id: id.to_string() };
        let mut client = self.client();
        self.call(
            Operation::ReopenContainerLog,
            request,
            |r| async move { client.reopen_container_log(r).await },
        )
        .await
        .map(drop)
    }

    /// Writes a checkpoint of a running container to the archive `location`. The deadline is the usual one, or
    /// `timeout` (whole seconds) if that is longer.
    pub async fn checkpoint_container(
        &self,
        id: &ContainerId,
        location: &Path,
        timeout: Duration,
    ) -> Result<(), CriError> {
        let request = v1::CheckpointContainerRequest {
            container_id: id.to_string(),
            location: location.to_string_lossy().into_owned(),
            timeout: whole_seconds(timeout),
        };
        let deadline = Some(self.request_timeout().max(timeout));
        let mut client = self.client();
        self.call_within(Operation::CheckpointContainer, deadline, request, |r| async move {
            client.checkpoint_container(r).await
        })
        .await
        .map(drop)
    }
}

/// CRI counts in seconds: a part of one is rounded up.
pub(crate) fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_second_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::ZERO), 0);
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(30)), 30);
        assert_eq!(whole_seconds(Duration::MAX), i64::MAX);
    }
}
