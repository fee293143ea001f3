//! What a pod's worker calls: admission, the executor, and the derivation of status.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use node::RuntimeHealth;
use pleg::Pleg;
use probe::{Prober, Seen, Stage};
use status::{DeriveInput, Life, StatusStore, derive, is_over};
use sync::{Executor, SyncError};
use task::cell::{Phase, PodCell};
use tokio::sync::watch;
use tokio::time::timeout;
use types::reason::{event, pod as pod_reason};
use types::{Ended, Event, ObservedPod, Pod, PodRef, Step, pod};
use worker::{Job, Lifecycle, Round, RoundError, Verdict};

use super::admission::Admission;
use super::drivers::ClusterDrivers;
use super::metrics::Milestones;
use super::podobjects::PodObjects;
use super::referred::Referred;
use super::termination::TerminationMessages;

/// The steps of a pod's life, with everything they need.
pub(super) struct PodLifecycle {
    pub(super) executor: Executor,
    pub(super) prober: Prober,
    pub(super) pleg: Pleg,
    pub(super) statuses: StatusStore,
    /// What the API server has of the pods, if there is one.
    pub(super) objects: Option<PodObjects>,
    pub(super) admission: Admission,
    pub(super) health: watch::Receiver<RuntimeHealth>,
    pub(super) facts: watch::Receiver<Arc<containerconfig::NodeFacts>>,
    /// What pods refer to in the API server, if there is one.
    pub(super) referred: Option<Referred>,
    /// Who has drivers, if there is an API server.
    pub(super) drivers: Option<Arc<ClusterDrivers>>,
    pub(super) messages: TerminationMessages,
    pub(super) milestones: Milestones,
    /// What the runtime calls itself; the scheme of container ids in the API.
    pub(super) runtime_name: watch::Sender<String>,
}

impl PodLifecycle {
    /// Asks `question` about all that is known of the pod now. `None` while it is not known what the runtime has of
    /// it: a pod that runs must not be shown as one that does not, just because berth was restarted.
    fn ask<T>(&self, pod: &Pod, cell: &PodCell, question: impl FnOnce(&DeriveInput<'_>) -> T) -> Option<T> {
        let observed = self.pleg.known(&cell.pod)?;
        let observed = self.messages.fill_in(&observed);
        let life = match *cell.phase.borrow() {
            Phase::Queued | Phase::Running => Life::Running,
            Phase::Terminating => Life::Terminating,
            Phase::Terminated | Phase::Finished => Life::Terminated,
        };
        let failures = cell.failures.borrow().clone();
        let ended = cell.ended.borrow().clone();
        let probes = cell.probes.borrow().clone();
        let previous = self.statuses.get(&cell.pod.uid);
        // Right after a start, what was said last is what the API server has.
        let object = self.object_of(pod);
        let server = object.as_ref().and_then(|object| object.status.as_ref());
        let runtime_name = self.runtime_name.borrow().clone();
        Some(question(&DeriveInput {
            pod,
            observed: &observed,
            probes: &probes,
            failures: &failures,
            previous: previous.as_deref().or(server),
            server,
            life,
            ended: ended.as_ref(),
            host_ips: &self.facts.borrow().host_ips,
            runtime_name: &runtime_name,
            now: Timestamp::now(),
        }))
    }

    /// What the API server shows of the pod. A mirror that shows an end does not count: it may be that of a manifest that
    /// was taken away and is back.
    fn object_of(&self, pod: &Pod) -> Option<Arc<Pod>> {
        let object = self.objects.as_ref()?.of(pod)?;
        (!(pod::is_static(pod) && pod::is_terminal(&object))).then_some(object)
    }

    /// Has the pod probed as it is now; it is no longer once nothing of it runs.
    fn probe(&self, pod: &Arc<Pod>, cell: &Arc<PodCell>) {
        let stage = match *cell.phase.borrow() {
            Phase::Queued | Phase::Running => Stage::Running,
            Phase::Terminating => Stage::Terminating,
            Phase::Terminated | Phase::Finished => return self.prober.forget(&cell.pod.uid),
        };
        let Some(observed) = self.pleg.known(&cell.pod) else { return };
        let previous = self.statuses.get(&cell.pod.uid);
        let object = self.object_of(pod);
        let server = object.as_ref().and_then(|object| object.status.as_ref());
        self.prober.see(&Seen {
            pod,
            cell,
            observed: &observed,
            node_ip: self.facts.borrow().host_ips.first().copied(),
            last: previous.as_deref().or(server),
            stage,
        });
    }

    /// What is left of `activeDeadlineSeconds`, if the pod has such a deadline.
    fn time_left(&self, pod: &Pod, uid: &types::PodUid) -> Option<Duration> {
        let limit = SignedDuration::from_secs(pod::spec(pod).active_deadline_seconds?);
        let status = self.statuses.get(uid)?;
        let begun = status.start_time.as_ref()?.0;
        let left = limit.checked_sub(Timestamp::now().duration_since(begun))?;
        Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
    }

    /// Waits until the runtime, and for a pod with a network of its own the network, is ready.
    async fn runtime_ready(&self, pod: &Pod, cell: &PodCell) {
        let mut health = self.health.clone();
        let needs_network = !pod::host_network(pod);
        let fit = |health: &RuntimeHealth| health.ready && (health.network || !needs_network);
        let mut told = false;
        loop {
            let now = health.borrow_and_update().clone();
            if fit(&now) {
                return;
            }
            let what =
                if now.ready { "the network of the container runtime" } else { "the container runtime" };
            let reasons = now.reasons.join("; ");
            cell.at(Step::Runtime, None, format!("{what} to be ready: {reasons}"));
            if now.ready && !std::mem::replace(&mut told, true) {
                let text = format!("network is not ready: {reasons}");
                self.admission.recorder.record(Event::warning(&cell.pod, event::NETWORK_NOT_READY, text));
            }
            // The sender lives as long as the agent.
            if health.changed().await.is_err() {
                return;
            }
        }
    }

    fn forget_references(&self, pod: &PodRef) {
        if let Some(referred) = &self.referred {
            referred.forget(&pod.uid);
        }
    }
}

fn round_error(error: &SyncError) -> RoundError {
    RoundError { reason: error.reason(), message: telemetry::chain(error), again_in: error.again_in() }
}

impl Lifecycle for PodLifecycle {
    fn admit(&self, pod: &Arc<Pod>, active: &[Arc<Pod>]) -> Verdict {
        let runs = self.pleg.known(&PodRef::of(pod)).is_none_or(|observed| !observed.is_absent());
        if runs {
            return Verdict::Run;
        }
        self.admission.judge(pod, active)
    }

    fn look(&self, _: &PodRef) -> impl Future<Output = ()> + Send + 'static {
        self.admission.look()
    }

    fn has_begun(&self, pod: &PodRef) -> bool {
        self.executor.has_begun(&pod.uid)
    }

    fn observed(&self, pod: &PodRef) -> watch::Receiver<Arc<ObservedPod>> {
        self.pleg.observed(pod)
    }

    async fn sync(&self, job: &Job) -> Result<Round, RoundError> {
        let (Some(pod), cell) = (job.target.pod(), &job.cell) else {
            return Ok(Round { ended: true, again_in: None });
        };
        let left = self.time_left(pod, &cell.pod.uid);
        if left.is_some_and(|left| left.is_zero()) {
            let message = "Pod was active on the node longer than the specified deadline".to_owned();
            self.admission.recorder.record(Event::normal(
                &cell.pod,
                event::DEADLINE_EXCEEDED,
                message.clone(),
            ));
            let reason = pod_reason::DEADLINE_EXCEEDED.to_owned();
            cell.ended.send_replace(Some(Ended { reason, message, disruption: false }));
            return Ok(Round { ended: true, again_in: None });
        }
        if self.ask(pod, cell, is_over) == Some(true) {
            return Ok(Round { ended: true, again_in: None });
        }
        if let Some(referred) = &self.referred {
            referred.register(pod);
        }
        let sync = async {
            self.runtime_ready(pod, cell).await;
            self.executor.sync(pod, cell).await
        };
        let synced = match left {
            // What it waits for may take longer than it has.
            Some(left) => match timeout(left, sync).await {
                Ok(synced) => synced,
                Err(_) => return Ok(Round { ended: false, again_in: Some(Duration::ZERO) }),
            },
            None => sync.await,
        };
        let synced = match synced {
            Err(SyncError::Volume(error)) if error.rejection().is_some() => {
                let rejection = error.rejection().map(|(reason, why)| Ended {
                    reason: reason.to_owned(),
                    message: format!("Pod was rejected: {why}"),
                    disruption: false,
                });
                cell.ended.send_replace(rejection);
                return Ok(Round { ended: true, again_in: None });
            }
            synced => synced.map_err(|error| round_error(&error))?,
        };
        if let Some(drivers) = &self.drivers {
            drivers.look_after(pod);
        }
        let left = self.time_left(pod, &cell.pod.uid);
        let again_in = synced.again_in.into_iter().chain(left).min();
        Ok(Round { ended: self.ask(pod, cell, is_over) == Some(true), again_in })
    }

    async fn stop(&self, job: &Job, grace_seconds: Option<u64>) -> Result<(), RoundError> {
        let stopped = self.executor.stop(job.target.pod(), &job.cell, grace_seconds).await;
        stopped.map_err(|error| round_error(&error))
    }

    async fn clean_up(&self, job: &Job, removed: bool) -> Result<(), RoundError> {
        self.executor.clean_up(&job.cell, removed).await.map_err(|error| round_error(&error))?;
        self.forget_references(&job.cell.pod);
        Ok(())
    }

    fn publish(&self, job: &Job) {
        let Some(pod) = job.target.pod() else { return };
        self.probe(pod, &job.cell);
        // A container that was ready must not look as if it were not, just because berth was restarted.
        if job.cell.probes.borrow().awaited {
            return;
        }
        let Some(status) = self.ask(pod, &job.cell, |input| {
            self.milestones.count(pod, input.observed);
            derive(input)
        }) else {
            return;
        };
        let over = *job.cell.phase.borrow() == Phase::Finished;
        if let Err(error) = self.statuses.set(pod, status, over) {
            tracing::warn!(pod = %job.cell.pod, error = %telemetry::chain(&error), "A status was dropped");
        }
    }

    fn forget(&self, pod: &PodRef) {
        self.forget_references(pod);
        self.prober.forget(&pod.uid);
        self.statuses.remove(&pod.uid);
        self.admission.forget(&pod.uid);
        self.messages.forget(&pod.uid);
        self.milestones.forget(&pod.uid);
    }
}
