//! Rotation of container logs over the runtime.

use std::path::PathBuf;

use cri::Runtime;
use logs::{ContainerLog, Containers};
use pleg::Pleg;
use types::ContainerId;

/// The containers whose logs are rotated.
pub(super) struct RunningContainers {
    pub(super) runtime: Runtime,
    pub(super) pleg: Pleg,
}

impl Containers for RunningContainers {
    async fn running(&self) -> Vec<ContainerLog> {
        let pods = self.pleg.pods().borrow().clone();
        let observed = pods.iter().flat_map(|pods| pods.iter()).filter_map(|pod| self.pleg.known(pod));
        let logs = observed.flat_map(|pod| {
            let running = pod.containers.iter().filter(|c| c.state.is_running() && !c.log_path.is_empty());
            running
                .map(|c| ContainerLog { container: c.id.clone(), path: PathBuf::from(&c.log_path) })
                .collect::<Vec<_>>()
        });
        logs.collect()
    }

    async fn reopen(&self, container: &ContainerId) -> Result<(), String> {
        self.runtime.reopen_container_log(container).await.map_err(|error| telemetry::chain(&error))
    }
}
