//! A pod's sandbox: what it needs on the node, its making, its addresses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use containerconfig::security::add_groups;
use containerconfig::{IdMappings, NodeFacts};
use cri::v1::PodSandboxConfig;
use task::cell::PodCell;
use types::objects::Objects;
use types::reason::event;
use types::{Event, ObservedPod, Pod, SandboxId, Step, pod};
use volume::{FoundVolumes, Prepared};

use crate::executor::{Executor, SyncError};
use crate::files;
use crate::plan::{Plan, Sandbox};

/// A sandbox that containers can be started in, and what was prepared for them.
pub(crate) struct ReadySandbox {
    pub(crate) id: SandboxId,
    pub(crate) config: PodSandboxConfig,
    pub(crate) ips: Vec<IpAddr>,
    /// The handler of the pod's RuntimeClass; empty for the runtime's default.
    pub(crate) runtime_handler: String,
    pub(crate) volumes: Prepared,
    /// The groups that all processes of the pod are in because of them.
    pub(crate) groups: Vec<i64>,
    /// The ids of a pod with `hostUsers: false`.
    pub(crate) userns: Option<IdMappings>,
    pub(crate) facts: Arc<NodeFacts>,
}

/// What was prepared for the pod before its start had a slot.
pub(crate) struct PreparedPod {
    /// The parent of its cgroups, as the runtime is told of it.
    parent: String,
    volumes: Prepared,
}

impl Executor {
    /// Prepares cgroup, directories and volumes.
    pub(crate) async fn prepare(
        &self,
        pod: &Arc<Pod>,
        objects: &Arc<Objects>,
        found: &FoundVolumes,
        cell: &PodCell,
    ) -> Result<PreparedPod, SyncError> {
        let parent = self.ensure_cgroup(pod, cell).await?;
        self.needs.volumes.paths(&cell.pod.uid)?.create()?;
        cell.at(Step::Volumes, None, "volumes to be mounted");
        let prepared = self.needs.volumes.prepare_found(pod, objects, found).await;
        let volumes = prepared.inspect_err(|error| self.tell_mount_failures(&error.failures, cell))?;
        self.tell_mount_failures(&volumes.behind, cell);
        Ok(PreparedPod { parent, volumes })
    }

    /// Makes the sandbox if the plan says so.
    pub(crate) async fn ready_sandbox(
        &self,
        pod: &Arc<Pod>,
        observed: &ObservedPod,
        plan: &Plan,
        prepared: PreparedPod,
        cell: &PodCell,
    ) -> Result<ReadySandbox, SyncError> {
        let PreparedPod { parent, volumes } = prepared;
        let facts = self.needs.facts.borrow().clone();
        let attempt = match &plan.sandbox {
            Sandbox::Create { attempt } => *attempt,
            Sandbox::Keep(id) => observed.sandboxes.iter().find(|s| s.id == *id).map_or(0, |s| s.attempt),
            Sandbox::None => 0,
        };
        let own_users = pod::spec(pod).host_users == Some(false);
        let userns = if own_users { Some(self.needs.userns.assign(&cell.pod.uid)?) } else { None };
        let built = containerconfig::sandbox_config(pod, attempt, &facts, &parent, userns.as_ref())?;
        for event in built.events {
            self.needs.recorder.record(event);
        }
        let mut config = built.config;
        let groups = self.needs.volumes.groups(&cell.pod.uid).await;
        if let Some(context) = config.linux.as_mut().and_then(|linux| linux.security_context.as_mut()) {
            add_groups(&mut context.supplemental_groups, &groups);
        }
        let (id, ips, handler) = match &plan.sandbox {
            Sandbox::Keep(id) => {
                let kept = observed.sandboxes.iter().find(|sandbox| sandbox.id == *id);
                let handler = kept.map(|sandbox| sandbox.runtime_handler.to_string()).unwrap_or_default();
                (id.clone(), observed.ips().to_vec(), handler)
            }
            _ => {
                let handler = self.runtime_handler(pod, cell).await?;
                let (id, ips) = self.make_sandbox(pod, attempt, &config, &handler, cell).await?;
                (id, ips, handler)
            }
        };
        let ips = if pod::host_network(pod) { facts.host_ips.clone() } else { ips };
        Ok(ReadySandbox { id, config, ips, runtime_handler: handler, volumes, groups, userns, facts })
    }

    /// The handler of the pod's RuntimeClass; empty if it has none.
    async fn runtime_handler(&self, pod: &Pod, cell: &PodCell) -> Result<String, SyncError> {
        let class = pod::spec(pod).runtime_class_name.as_deref().filter(|class| !class.is_empty());
        let Some(class) = class else { return Ok(String::new()) };
        cell.at(Step::Sandbox, None, format!("the API server: RuntimeClass {class:?}"));
        self.needs.objects.runtime_handler(class).await.map_err(|error| {
            let text = format!("Failed to create pod sandbox: {error}");
            self.needs.recorder.record(Event::warning(&cell.pod, event::FAILED_CREATE_POD_SANDBOX, text));
            SyncError::RuntimeClass(error)
        })
    }

    pub(crate) async fn ensure_cgroup(&self, pod: &Pod, cell: &PodCell) -> Result<String, SyncError> {
        let Some(cgroups) = self.cgroups(cell, Step::Cgroup).await else { return Ok(String::new()) };
        cell.at(Step::Cgroup, None, "the pod's cgroup to be made");
        match cgroups.ensure_pod(pod, &self.settings.cgroup).await {
            Ok(parent) => Ok(parent),
            Err(error) => {
                let text = format!("unable to ensure pod container exists: {}", telemetry::chain(&error));
                self.needs.recorder.record(Event::warning(
                    &cell.pod,
                    event::FAILED_CREATE_POD_CONTAINER,
                    text,
                ));
                Err(error.into())
            }
        }
    }

    async fn make_sandbox(
        &self,
        pod: &Pod,
        attempt: u32,
        config: &PodSandboxConfig,
        runtime_handler: &str,
        cell: &PodCell,
    ) -> Result<(SandboxId, Vec<IpAddr>), SyncError> {
        let runtime = &self.needs.runtime;
        if attempt > 0 {
            let text = "Pod sandbox changed, it will be killed and re-created.";
            self.needs.recorder.record(Event::normal(&cell.pod, event::SANDBOX_CHANGED, text));
        }
        files::make_dir(config.log_directory.as_ref(), 0o755)?;
        let metrics = &self.needs.metrics;
        let own_users = pod::spec(pod).host_users == Some(false);
        metrics.started_pods.inc(&[]);
        if own_users {
            metrics.started_userns_pods.inc(&[]);
        }
        cell.at(Step::Sandbox, None, "CRI call RunPodSandbox");
        let id = match runtime.run_pod_sandbox(config.clone(), runtime_handler).await {
            Ok(id) => id,
            Err(error) => {
                metrics.started_pods_errors.inc(&[]);
                if own_users {
                    metrics.started_userns_pods_errors.inc(&[]);
                }
                let text = format!("Failed to create pod sandbox: {}", telemetry::chain(&error));
                self.needs.recorder.record(Event::warning(&cell.pod, event::FAILED_CREATE_POD_SANDBOX, text));
                return Err(SyncError::Sandbox(error));
            }
        };
        if pod::host_network(pod) {
            return Ok((id, Vec::new()));
        }
        cell.at(Step::Sandbox, None, "CRI call PodSandboxStatus");
        match runtime.pod_sandbox_status(&id).await {
            Ok(status) => Ok((id, status.ips)),
            Err(error) => {
                let text = format!("Unable to get pod sandbox status: {}", telemetry::chain(&error));
                self.needs.recorder.record(Event::warning(&cell.pod, event::FAILED_POD_SANDBOX_STATUS, text));
                Err(SyncError::Sandbox(error))
            }
        }
    }
}

/// How many seconds ago the pod was first seen, if its source noted that.
pub(crate) fn seen_for(pod: &Pod) -> Option<Duration> {
    let seen: jiff::Timestamp = pod::annotation(pod, types::labels::CONFIG_SEEN)?.parse().ok()?;
    Duration::try_from(jiff::Timestamp::now().duration_since(seen)).ok()
}
