//! What the world may know of a pod's worker.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use types::{Ended, Failure, Failures, PodRef, Probes, Progress, Step, StepFailure};

/// Where a pod is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Phase {
    /// It waits until an older pod of the same name is gone, or pods that have to make way for it.
    Queued,
    /// Its worker brings it towards its spec and keeps it there.
    Running,
    /// Its containers are being stopped.
    Terminating,
    /// No container of it runs; volumes and cgroup are being taken down.
    Terminated,
    /// It ended, or was refused; its status stays until its source drops it.
    Finished,
}

/// The published state of one pod's worker. Written by the worker and by what runs on its behalf; read by status,
/// by the local API and by tests.
#[derive(Debug)]
pub struct PodCell {
    /// Whose state it is.
    pub pod: PodRef,
    /// Where it stands, for `berth why`.
    pub progress: watch::Sender<Progress>,
    /// Containers whose next start failed.
    pub failures: watch::Sender<Arc<Failures>>,
    /// What its probes found.
    pub probes: watch::Sender<Arc<Probes>>,
    /// Where it is in its life.
    pub phase: watch::Sender<Phase>,
    /// Why the node ended it, if it did.
    pub ended: watch::Sender<Option<Ended>>,
    woken: Notify,
}

impl PodCell {
    /// The cell of a pod that is at `phase`.
    #[must_use]
    pub fn new(pod: PodRef, phase: Phase) -> Self {
        let step = if phase == Phase::Queued { Step::Queued } else { Step::Admission };
        Self {
            pod,
            progress: watch::Sender::new(Progress::at(step, Timestamp::now())),
            failures: watch::Sender::default(),
            probes: watch::Sender::default(),
            phase: watch::Sender::new(phase),
            ended: watch::Sender::new(None),
            woken: Notify::new(),
        }
    }

    /// Has the worker make another round soon: something that the pod refers to has changed. One that is under way may
    /// have begun too early, and another one follows it.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Returns when the worker was woken since it last returned. For the worker alone.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Says that the worker is now at `step`, about `subject`, waiting for `waiting_for`. The latest failure stays
    /// until [`PodCell::recovered`].
    pub fn at(&self, step: Step, subject: Option<&str>, waiting_for: impl Into<String>) {
        let waiting_for = waiting_for.into();
        self.progress.send_if_modified(|progress| {
            let same = progress.step == step
                && progress.subject.as_deref() == subject
                && progress.waiting_for == waiting_for;
            if same {
                return false;
            }
            if progress.step != step || progress.subject.as_deref() != subject {
                progress.since = Timestamp::now();
            }
            progress.step = step;
            progress.subject = subject.map(Arc::from);
            progress.waiting_for = waiting_for;
            true
        });
    }

    /// Says that the step failed.
    pub fn failed(&self, failure: StepFailure) {
        self.progress.send_modify(|progress| progress.failure = Some(failure));
    }

    /// Says that the latest failure has been got over.
    pub fn recovered(&self) {
        self.progress.send_if_modified(|progress| progress.failure.take().is_some());
    }

    /// Sets or clears the failure of the next start of `container`.
    pub fn container_failure(&self, container: &str, failure: Option<Failure>) {
        self.failures.send_if_modified(|failures| {
            if failures.get(container) == failure.as_ref() {
                return false;
            }
            let map = Arc::make_mut(failures);
            match failure {
                Some(failure) => map.insert(container.to_owned(), failure),
                None => map.remove(container),
            };
            true
        });
    }
}
