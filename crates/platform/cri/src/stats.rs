//! Calls about usage. The answers are CRI's own messages, which `stats` and `server` pass on.

use types::{ContainerId, SandboxId};

use crate::{CriError, Operation, Runtime, v1};

impl Runtime {
    /// Usage of one container.
    pub async fn container_stats(&self, id: &ContainerId) -> Result<v1::ContainerStats, CriError> {
        let operation = Operation::ContainerStats;
        let request = v1::ContainerStatsRequest { container_id: id.to_string() };
        let mut client = self.client();
        let response =
            self.call(operation, request, |r| async move { client.container_stats(r).await }).await?;
        response.stats.ok_or_else(|| CriError::incomplete(operation.name(), "statistics"))
    }

    /// Usage of the containers that run.
    pub async fn list_container_stats(
        &self,
        filter: Option<v1::ContainerStatsFilter>,
    ) -> Result<Vec<v1::ContainerStats>, CriError> {
        let request = v1::ListContainerStatsRequest { filter };
        let mut client = self.client();
        self.call(
            Operation::ListContainerStats,
            request,
            |r| async move { client.list_container_stats(r).await },
        )
        .await
        .map(|response| response.stats)
    }

    /// Usage of one sandbox and its containers.
    pub async fn pod_sandbox_stats(&self, id: &SandboxId) -> Result<v1::PodSandboxStats, CriError> {
        let operation = Operation::PodSandboxStats;
        let request = v1::PodSandboxStatsRequest { pod_sandbox_id: id.to_string() };
        let mut client = self.client();
        let response =
            self.call(operation, request, |r| async move { client.pod_sandbox_stats(r).await }).await?;
        response.stats.ok_or_else(|| CriError::incomplete(operation.name(), "statistics"))
    }

    /// Usage of the sandboxes that are ready.
    pub async fn list_pod_sandbox_stats(
        &self,
        filter: Option<v1::PodSandboxStatsFilter>,
    ) -> Result<Vec<v1::PodSandboxStats>, CriError> {
        let request = v1::ListPodSandboxStatsRequest { filter };
        let mut client = self.client();
        self.call(Operation::ListPodSandboxStats, request, |r| async move {
            client.list_pod_sandbox_stats(r).await
        })
        .await
        .map(|response| response.stats)
    }

    /// The metrics that the runtime has of sandboxes and containers (KEP-2371).
    pub async fn list_metric_descriptors(&self) -> Result<Vec<v1::MetricDescriptor>, CriError> {
        let request = v1::ListMetricDescriptorsRequest {};
        let mut client = self.client();
        self.call(Operation::ListMetricDescriptors, request, |r| async move {
            client.list_metric_descriptors(r).await
        })
        .await
        .map(|response| response.descriptors)
    }

    /// The values of those metrics, by sandbox.
    pub async fn list_pod_sandbox_metrics(&self) -> Result<Vec<v1::PodSandboxMetrics>, CriError> {
        let request = v1::ListPodSandboxMetricsRequest {};
        let mut client = self.client();
        self.call(Operation::ListPodSandboxMetrics, request, |r| async move {
            client.list_pod_sandbox_metrics(r).await
        })
        .await
        .map(|response| response.pod_metrics)
    }
}
