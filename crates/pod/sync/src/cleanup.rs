//! What is left of a pod: dead containers, old sandboxes, logs, volumes, the cgroup.

use std::collections::HashSet;
use std::sync::Arc;

use cri::CriErrorKind;
use jiff::Timestamp;
use task::cell::PodCell;
use types::{ContainerId, ObservedPod, PodUid, SandboxId, SandboxState, Step};

use crate::executor::{Executor, SyncError};
use crate::files;
use crate::onlooker::Watching;

/// Dead containers and sandboxes that nobody needs any more.
#[derive(PartialEq, Eq, Debug, Default)]
pub(crate) struct Surplus {
    pub(crate) containers: Vec<ContainerId>,
    pub(crate) sandboxes: Vec<SandboxId>,
}

/// What can be removed of a pod that goes on: those of its containers that are `removable`, and stopped sandboxes that
/// are empty and not the newest.
pub(crate) fn surplus(observed: &ObservedPod, removable: &HashSet<ContainerId>) -> Surplus {
    let mut surplus = Surplus::default();
    let own = observed.containers.iter().map(|c| &c.id).filter(|id| removable.contains(*id));
    surplus.containers.extend(own.cloned());
    surplus.containers.sort();
    let used: HashSet<_> = observed
        .containers
        .iter()
        .filter(|c| !surplus.containers.contains(&c.id))
        .map(|c| &c.sandbox)
        .collect();
    let old = observed.sandboxes.iter().skip(1).filter(|s| s.state == SandboxState::NotReady);
    surplus.sandboxes.extend(old.filter(|s| !used.contains(&s.id)).map(|s| s.id.clone()));
    surplus
}

impl Executor {
    /// Removes what a pod that goes on has no need for. Failures are left to the next time.
    pub(crate) async fn remove_surplus(&self, observed: &Arc<ObservedPod>, cell: &PodCell) -> bool {
        let policy = self.settings.dead_containers;
        let now = Timestamp::now();
        let removable = match policy.in_all {
            None => policy.removable([observed], now),
            Some(_) => {
                let pods = self.needs.pleg.pods().borrow().clone();
                let known: Vec<_> = pods
                    .iter()
                    .flat_map(|pods| pods.iter())
                    .filter_map(|pod| self.needs.pleg.known(pod))
                    .collect();
                policy.removable(&known, now)
            }
        };
        let surplus = surplus(observed, &removable);
        for id in &surplus.containers {
            cell.at(Step::Cleanup, None, "CRI call RemoveContainer");
            if let Err(error) = self.remove_container(id, observed, false).await {
                tracing::debug!(pod = %observed.pod, container = %id, error = %telemetry::chain(&error), "A dead container cannot be removed yet");
            }
        }
        for id in &surplus.sandboxes {
            cell.at(Step::Cleanup, None, "CRI call RemovePodSandbox");
            if let Err(error) = self.needs.runtime.remove_pod_sandbox(id).await {
                tracing::debug!(pod = %observed.pod, sandbox = %id, error = %telemetry::chain(&error), "An old sandbox cannot be removed yet");
            }
        }
        surplus != Surplus::default()
    }

    /// Removes one dead container and, unless `keep_logs`, its log files.
    pub(crate) async fn remove_container(
        &self,
        id: &ContainerId,
        observed: &ObservedPod,
        keep_logs: bool,
    ) -> Result<(), SyncError> {
        match self.needs.runtime.remove_container(id).await {
            Err(error) if error.kind != CriErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        if let Some(container) = observed.containers.iter().find(|c| c.id == *id).filter(|_| !keep_logs) {
            files::remove_logs(&container.log_path);
        }
        Ok(())
    }

    /// Whether the pod has a directory: something was made for it. Blocks for a moment.
    #[must_use]
    pub fn has_begun(&self, pod: &PodUid) -> bool {
        self.needs.volumes.paths(pod).is_ok_and(|paths| paths.dir().exists())
    }

    /// Takes down what a pod that has stopped held on the node: volumes and cgroup; with `removed`, also its dead
    /// containers, its sandboxes and its logs.
    ///
    /// # Errors
    /// If something is still in use. To be called again.
    pub async fn clean_up(&self, cell: &PodCell, removed: bool) -> Result<(), SyncError> {
        let pod = &cell.pod;
        cell.at(Step::Cleanup, None, "volumes to be unmounted");
        let watching = Watching::new(cell, Step::Cleanup, &self.needs.recorder);
        self.needs.volumes.teardown(&pod.uid, &watching).await?;
        if let Some(cgroups) = self.cgroups(cell, Step::Cleanup).await {
            cell.at(Step::Cleanup, None, "the pod's cgroup to be removed");
            cgroups.remove_pod(&pod.uid).await?;
        }
        // Nothing of it runs, and nothing will.
        self.needs.userns.release(&pod.uid);
        if removed {
            self.remove_all(cell).await?;
            cell.at(Step::Cleanup, None, "the pod's directory to be removed");
            self.needs.volumes.remove_pod_dir(&pod.uid, &watching).await?;
            files::remove_log_dir(&self.settings.pod_logs_dir, pod, &self.settings.container_logs_dir);
            self.crash.forget(&pod.uid);
            self.lock_followed().remove(&pod.uid);
            self.needs.images.forget(&pod.uid);
        }
        Ok(())
    }

    /// Removes all that the runtime has of a pod that has stopped. A sandbox takes the containers in it along.
    async fn remove_all(&self, cell: &PodCell) -> Result<(), SyncError> {
        let mut observed = self.known(cell).await?;
        while !observed.is_absent() {
            cell.at(Step::Cleanup, None, "CRI call RemoveContainer");
            let alone = observed.containers.iter().filter(|container| {
                !observed.sandboxes.iter().any(|sandbox| sandbox.id == container.sandbox)
            });
            for container in alone {
                self.remove_container(&container.id, &observed, false).await?;
            }
            cell.at(Step::Cleanup, None, "CRI call RemovePodSandbox");
            let containers = observed.containers.iter().map(|container| container.id.as_str());
            let sandboxes = observed.sandboxes.iter().map(|sandbox| sandbox.id.as_str());
            let _removing: Vec<_> =
                containers.chain(sandboxes).map(|id| self.needs.pleg.stopping(id)).collect();
            for sandbox in &observed.sandboxes {
                match self.needs.runtime.remove_pod_sandbox(&sandbox.id).await {
                    Err(error) if error.kind != CriErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
            }
            let left = self.needs.pleg.refresh(&cell.pod).await?;
            if left == observed {
                return Err(SyncError::NotRemoved);
            }
            observed = left;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use types::observed::Exit;
    use types::{ContainerState, ObservedContainer, ObservedSandbox, PodName, PodRef};

    use super::*;
    use crate::dead::DeadContainers;

    fn container(id: &str, name: &str, sandbox: &str, dead: bool) -> ObservedContainer {
        let now = Timestamp::UNIX_EPOCH;
        let exit = Exit {
            code: 0,
            reason: String::new(),
            message: String::new(),
            started_at: None,
            finished_at: now,
        };
        ObservedContainer {
            id: id.into(),
            name: name.into(),
            sandbox: sandbox.into(),
            state: if dead {
                ContainerState::Exited(exit)
            } else {
                ContainerState::Running { started_at: now }
            },
            created_at: now,
            image: String::new(),
            image_ref: String::new(),
            image_id: String::new(),
            hash: String::new(),
            restart_count: 0,
            log_path: String::new(),
            mounts: Vec::new(),
            user: None,
            resources: None,
            annotations: Arc::default(),
        }
    }

    fn sandbox(id: &str, state: SandboxState) -> ObservedSandbox {
        ObservedSandbox {
            id: id.into(),
            attempt: 0,
            state,
            created_at: Timestamp::UNIX_EPOCH,
            ips: Vec::new(),
            network: None,
            runtime_handler: "".into(),
        }
    }

    #[test]
    fn keeps_the_newest_dead_ones_and_what_they_live_in() {
        let observed = ObservedPod {
            pod: PodRef { name: PodName::new("n", "p"), uid: "u".into() },
            sandboxes: vec![
                sandbox("s3", SandboxState::Ready),
                sandbox("s2", SandboxState::NotReady),
                sandbox("s1", SandboxState::NotReady),
            ],
            containers: vec![
                container("a3", "a", "s3", false),
                container("a2", "a", "s2", true),
                container("a1", "a", "s1", true),
                container("b1", "b", "s3", true),
            ],
        };
        let expected = Surplus { containers: vec!["a1".into()], sandboxes: vec!["s1".into()] };
        let observed = Arc::new(observed);
        let removable = DeadContainers::default().removable([&observed], Timestamp::now());
        assert_eq!(surplus(&observed, &removable), expected);
    }
}
