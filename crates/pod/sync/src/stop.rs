//! Stopping: preStop hooks and StopContainer within the grace period, sidecars after the others, the sandbox last.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cri::CriErrorKind;
use futures::future::join_all;
use pleg::StoppingGuard;
use task::cell::PodCell;
use tokio::time::Instant;
use types::corev1::LifecycleHandler;
use types::reason::{event, waiting};
use types::{
    ContainerId, ContainerKind, Event, Failure, ObservedContainer, ObservedPod, Pod, SandboxId, SandboxState,
    Step, labels, pod,
};

use crate::executor::{Executor, SyncError};
use crate::hooks::{self, HookContext};
use crate::plan::{Kill, KillReason, Termination, stop_timeout_seconds};

impl Executor {
    /// Stops every container of the pod and then its sandboxes, and waits until nothing of it runs. Without a spec
    /// the annotations of the containers tell what is needed.
    ///
    /// # Errors
    /// If something of it still runs. To be called again: it goes on with what is left.
    pub async fn stop(
        &self,
        spec: Option<&Arc<Pod>>,
        cell: &PodCell,
        grace_seconds: Option<u64>,
    ) -> Result<(), SyncError> {
        cell.at(Step::Stopping, None, "");
        let none = Arc::default();
        let pod = spec.unwrap_or(&none);
        let grace = grace_seconds.map(|s| i64::try_from(s).unwrap_or(i64::MAX));
        let mut observed = self.known(cell).await?;
        loop {
            let termination = crate::plan::termination(pod, &observed, grace);
            // What is being stopped is so until it has been looked at.
            let terminated = self.terminate(pod, &observed, &termination, cell).await;
            let stopped = self.stop_sandboxes(&observed, cell).await;
            let left = self.needs.pleg.refresh(&cell.pod).await?;
            if has_more(&left, &observed) {
                observed = left;
                continue;
            }
            if let Some(container) = left.live().next() {
                let what = format!("container {:?} still runs", &*container.name);
                return Err(terminated.err().or(stopped.err()).unwrap_or(SyncError::StillRunning(what)));
            }
            return stopped.map(drop);
        }
    }

    async fn stop_sandboxes(
        &self,
        observed: &ObservedPod,
        cell: &PodCell,
    ) -> Result<Vec<StoppingGuard>, SyncError> {
        let mut stopping = Vec::new();
        // One that is not ready may still hold a network.
        for sandbox in &observed.sandboxes {
            cell.at(Step::Stopping, None, "CRI call StopPodSandbox");
            stopping.push(self.stop_sandbox(&sandbox.id).await?);
        }
        Ok(stopping)
    }

    /// Stops a sandbox. The caller looks at the pod before it drops the guard.
    pub(crate) async fn stop_sandbox(&self, id: &SandboxId) -> Result<StoppingGuard, SyncError> {
        let stopping = self.needs.pleg.stopping(id.as_str());
        match self.needs.runtime.stop_pod_sandbox(id).await {
            Err(error) if error.kind != CriErrorKind::NotFound => Err(error.into()),
            _ => Ok(stopping),
        }
    }

    /// Carries out a termination, stage after stage. preStop hooks of all stages run from the beginning. The caller looks
    /// at the pod before it drops the guards.
    pub(crate) async fn terminate(
        &self,
        pod: &Arc<Pod>,
        observed: &ObservedPod,
        termination: &Termination,
        cell: &PodCell,
    ) -> Result<Vec<StoppingGuard>, SyncError> {
        let begun = Instant::now();
        let hooks: Vec<(ContainerId, _)> = termination
            .stages
            .iter()
            .flatten()
            .map(|kill| (kill.id.clone(), self.pre_stop(pod, observed, kill, cell)))
            .collect();
        let (ids, hooks): (Vec<_>, Vec<_>) = hooks.into_iter().unzip();
        let done = tokio::sync::watch::Sender::new(HashSet::<ContainerId>::new());
        let run_hooks = join_all(ids.into_iter().zip(hooks).map(|(id, hook)| {
            let done = &done;
            async move {
                hook.await;
                done.send_modify(|set| {
                    set.insert(id);
                });
            }
        }));
        let run_stages = async {
            let mut outcome = Ok(Vec::new());
            let is_only = termination.stages.iter().flatten().count() == 1;
            for stage in &termination.stages {
                let kills = stage.iter().map(|kill| {
                    let mut done = done.subscribe();
                    async move {
                        // The sender outlives this future.
                        let _ = done.wait_for(|set| set.contains(&kill.id)).await;
                        let stopped = self.stop_container(kill, begun.elapsed(), cell).await;
                        if stopped.is_ok() && !is_only {
                            // That this one has ended shows while the others have not.
                            self.needs.pleg.refresh(&cell.pod).await?;
                        }
                        stopped
                    }
                });
                for result in join_all(kills).await {
                    outcome = outcome.and_then(|mut stopping| {
                        stopping.push(result?);
                        Ok(stopping)
                    });
                }
            }
            outcome
        };
        let ((), outcome) = tokio::join!(async { drop(run_hooks.await) }, run_stages);
        outcome
    }

    /// Kills one container: its preStop hook, then the signal. The caller looks at the pod afterwards.
    pub(crate) async fn kill(
        &self,
        pod: &Arc<Pod>,
        observed: &ObservedPod,
        kill: &Kill,
        cell: &PodCell,
    ) -> Result<(), SyncError> {
        let begun = Instant::now();
        self.pre_stop(pod, observed, kill, cell).await;
        self.stop_container(kill, begun.elapsed(), cell).await.map(drop)
    }

    async fn stop_container(
        &self,
        kill: &Kill,
        spent: Duration,
        cell: &PodCell,
    ) -> Result<StoppingGuard, SyncError> {
        cell.at(Step::Stopping, Some(&kill.name), "CRI call StopContainer");
        if kill.reason != KillReason::Surplus {
            let event = Event::normal(&cell.pod, event::KILLING, kill.message.clone());
            self.needs.recorder.record(event.about(kill.kind.unwrap_or(ContainerKind::Regular), &kill.name));
        }
        let spent = i64::try_from(spent.as_secs()).unwrap_or(i64::MAX);
        let seconds =
            if kill.grace_seconds == 0 { 0 } else { stop_timeout_seconds(kill.grace_seconds, spent) };
        let timeout = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let stopping = self.needs.pleg.stopping(kill.id.as_str());
        match self.needs.runtime.stop_container(&kill.id, timeout).await {
            Err(error) if error.kind != CriErrorKind::NotFound => {
                let message = telemetry::chain(&error);
                let reason = waiting::KILL_CONTAINER_ERROR.to_owned();
                cell.container_failure(&kill.name, Some(Failure { reason, message }));
                Err(error.into())
            }
            _ => Ok(stopping),
        }
    }

    async fn pre_stop(&self, pod: &Arc<Pod>, observed: &ObservedPod, kill: &Kill, cell: &PodCell) {
        let Some(instance) = observed.containers.iter().find(|c| c.id == kill.id) else { return };
        let running = matches!(instance.state, types::ContainerState::Running { .. });
        let Ok(grace) = u64::try_from(kill.grace_seconds) else { return };
        let in_spec = pod::container(pod, &kill.name);
        let container = in_spec.as_ref().map(|(_, container)| &**container);
        let Some(hook) = pre_stop_hook(container, instance).filter(|_| running && grace > 0) else { return };
        cell.at(Step::Hook, Some(&kill.name), hooks::waits_for("preStop", &hook));
        let unnamed = types::Container { name: kill.name.to_string(), ..types::Container::default() };
        let context = HookContext {
            runtime: &self.needs.runtime,
            pod: &cell.pod,
            container: container.unwrap_or(&unnamed),
            id: &kill.id,
            ip: self.hook_ip(pod, observed),
            recorder: &self.needs.recorder,
            metrics: &self.needs.metrics,
        };
        if let Err(error) = Box::pin(hooks::run(&hook, &context, Some(Duration::from_secs(grace)))).await {
            if hook.sleep.is_some() {
                self.needs.metrics.sleep_terminated_early.inc(&[]);
            }
            let text = telemetry::chain(&error);
            tracing::warn!(pod = %cell.pod, container = &*kill.name, error = text, "preStop hook failed");
            let event = Event::warning(&cell.pod, event::FAILED_PRE_STOP_HOOK, "PreStopHook failed");
            self.needs.recorder.record(event.about(kill.kind.unwrap_or(ContainerKind::Regular), &kill.name));
        }
    }
}

/// Whether there is something to stop that was not known: a start that was under way came to an end meanwhile.
fn has_more(left: &ObservedPod, known: &ObservedPod) -> bool {
    let ready = left.sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready);
    left.live().any(|container| !known.containers.iter().any(|c| c.id == container.id))
        || ready.into_iter().any(|sandbox| !known.sandboxes.iter().any(|s| s.id == sandbox.id))
}

/// The hook of the spec, or of the annotation that the container was started with when its spec is gone.
fn pre_stop_hook(
    container: Option<&types::Container>,
    instance: &ObservedContainer,
) -> Option<LifecycleHandler> {
    match container {
        Some(container) => container.lifecycle.as_ref()?.pre_stop.clone(),
        None => serde_json::from_str(instance.annotations.get(labels::PRE_STOP_HANDLER)?).ok(),
    }
}
