//! Calls about pod sandboxes.

use std::collections::HashMap;

use tokio::time::Instant;
use types::{ObservedSandbox, PodRef, PodUid, SandboxId, labels};

use crate::error::gone_is_done;
use crate::{CriError, Operation, Runtime, convert, v1};

impl Runtime {
    /// Creates and starts a sandbox that runs under `runtime_handler` (empty for the default one). Setting up the
    /// network takes its time, so this has twice the usual deadline.
    pub async fn run_pod_sandbox(
        &self,
        config: v1::PodSandboxConfig,
        runtime_handler: &str,
    ) -> Result<SandboxId, CriError> {
        let operation = Operation::RunPodSandbox;
        let request =
            v1::RunPodSandboxRequest { config: Some(config), runtime_handler: runtime_handler.to_owned() };
        let deadline = Some(self.request_timeout().saturating_mul(2));
        let mut client = self.client();
        let start = Instant::now();
        let result = self
            .call_within(operation, deadline, request, |r| async move { client.run_pod_sandbox(r).await })
            .await
            .and_then(|response| non_empty(operation, response.pod_sandbox_id, "sandbox id"));
        self.metrics().sandbox(runtime_handler, start.elapsed(), result.is_ok());
        result.map(SandboxId::from)
    }

    /// Stops a sandbox: kills what runs in it and takes down its network. Stopping it again, or what is gone, is no error.
    pub async fn stop_pod_sandbox(&self, id: &SandboxId) -> Result<(), CriError> {
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: id.to_string() };
        let mut client = self.client();
        let result = self
            .call(Operation::StopPodSandbox, request, |r| async move { client.stop_pod_sandbox(r).await })
            .await
            .map(drop);
        gone_is_done(result)
    }

    /// Removes a sandbox and the containers in it. Removing it again is no error.
    pub async fn remove_pod_sandbox(&self, id: &SandboxId) -> Result<(), CriError> {
        let request = v1::RemovePodSandboxRequest { pod_sandbox_id: id.to_string() };
        let mut client = self.client();
        let result = self
            .call(Operation::RemovePodSandbox, request, |r| async move { client.remove_pod_sandbox(r).await })
            .await
            .map(drop);
        gone_is_done(result)
    }

    /// The state of one sandbox, with its IPs.
    pub async fn pod_sandbox_status(&self, id: &SandboxId) -> Result<ObservedSandbox, CriError> {
        let operation = Operation::PodSandboxStatus;
        let request = v1::PodSandboxStatusRequest { pod_sandbox_id: id.to_string(), verbose: false };
        let mut client = self.client();
        let response =
            self.call(operation, request, |r| async move { client.pod_sandbox_status(r).await }).await?;
        let status = response.status.ok_or_else(|| CriError::incomplete(operation.name(), "status"))?;
        Ok(convert::sandbox_status(&status))
    }

    /// The sandboxes of the pod `uid`, or of all pods, in no particular order. A list tells neither IPs nor network
    /// mode. Sandboxes that no kubelet made are left out.
    pub async fn list_pod_sandboxes(
        &self,
        uid: Option<&PodUid>,
    ) -> Result<Vec<(PodRef, ObservedSandbox)>, CriError> {
        let filter =
            uid.map(|uid| v1::PodSandboxFilter { label_selector: of_pod(uid), ..Default::default() });
        let request = v1::ListPodSandboxRequest { filter };
        let mut client = self.client();
        let response = self
            .call(Operation::ListPodSandbox, request, |r| async move { client.list_pod_sandbox(r).await })
            .await?;
        Ok(response.items.into_iter().filter_map(convert::listed_sandbox).collect())
    }

    /// Sets the resources that the pod as a whole has, and those of its overhead (so that the runtime
    /// and what hooks into it know).
    pub async fn update_pod_sandbox_resources(
        &self,
        id: &SandboxId,
        overhead: Option<v1::LinuxContainerResources>,
        resources: Option<v1::LinuxContainerResources>,
    ) -> Result<(), CriError> {
        let request =
            v1::UpdatePodSandboxResourcesRequest { pod_sandbox_id: id.to_string(), overhead, resources };
        let mut client = self.client();
        self.call(Operation::UpdatePodSandboxResources, request, |r| async move {
            client.update_pod_sandbox_resources(r).await
        })
        .await
        .map(drop)
    }
}

/// Selects what belongs to the pod `uid`.
pub(crate) fn of_pod(uid: &PodUid) -> HashMap<String, String> {
    HashMap::from([(labels::POD_UID.to_owned(), uid.to_string())])
}

/// `text`, which CRI demands of the answer of `operation`.
pub(crate) fn non_empty(operation: Operation, text: String, what: &str) -> Result<String, CriError> {
    if text.is_empty() { Err(CriError::incomplete(operation.name(), what)) } else { Ok(text) }
}
