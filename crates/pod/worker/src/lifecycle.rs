//! What a worker needs of the rest of the house.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use types::{Ended, ObservedPod, Pod, PodRef};

use crate::PodCell;

/// The pod that a round is about.
#[derive(Clone, Debug)]
pub enum Target {
    /// A pod that a source gave us.
    Configured(Arc<Pod>),
    /// A pod that only the runtime knows.
    RuntimeOnly(PodRef),
}

impl Target {
    /// The pod's spec, if there is one.
    #[must_use]
    pub fn pod(&self) -> Option<&Arc<Pod>> {
        match self {
            Self::Configured(pod) => Some(pod),
            Self::RuntimeOnly(_) => None,
        }
    }
}

/// What a round works on.
#[derive(Clone, Debug)]
pub struct Job {
    /// The pod.
    pub target: Target,
    /// Where progress and failures are told.
    pub cell: Arc<PodCell>,
}

/// How a round went that did not fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Round {
    /// The pod has ended for good: stop what is left of it and clean up.
    pub ended: bool,
    /// Look again after this time even if nothing happens, and after the resync period at the latest.
    pub again_in: Option<Duration>,
}

/// A round that failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct RoundError {
    /// CamelCase reason, such as `FailedSync` or `FailedMount`.
    pub reason: &'static str,
    /// What happened, with the chain of causes.
    pub message: String,
    /// When to try again; `None`: after the back-off period.
    pub again_in: Option<Duration>,
}

/// Whether a pod may run here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It may.
    Run,
    /// It may once these others are stopped, for the reason that goes with them.
    Preempt {
        /// Who has to go.
        victims: Vec<PodRef>,
        /// Reason and message of their statuses.
        ended: Ended,
        /// The label `preemption_signal` of `kubelet_preemptions`.
        metric_label: String,
    },
    /// It may not by what is known, which may be out of date: [`Lifecycle::look`], and ask again.
    Unsure,
    /// It may not; it is shown as Failed.
    Reject {
        /// Reason and message of its status.
        ended: Ended,
        /// The label `reason` of `kubelet_admission_rejections_total`.
        metric_label: &'static str,
    },
}

/// The steps of a pod's life. Each is called again until it succeeds, may be dropped at any await, and decides from
/// what is, not from what it did before.
pub trait Lifecycle: Send + Sync + 'static {
    /// Whether `pod` may run beside `active`. Called once per pod, in the order of admission; and again when those are
    /// gone that had to make way for it, or after a look.
    fn admit(&self, pod: &Arc<Pod>, active: &[Arc<Pod>]) -> Verdict;

    /// Brings up to date what the answer [`Verdict::Unsure`] was due to. Of the next answer it is sure.
    fn look(&self, pod: &PodRef) -> impl Future<Output = ()> + Send + 'static;

    /// Whether something of the pod is on the node already, though the runtime has none of it: it was taken up before a
    /// restart, and may have volumes.
    fn has_begun(&self, pod: &PodRef) -> bool;

    /// The pod's state in the runtime, as it changes.
    fn observed(&self, pod: &PodRef) -> watch::Receiver<Arc<ObservedPod>>;

    /// One round towards the pod's spec.
    fn sync(&self, job: &Job) -> impl Future<Output = Result<Round, RoundError>> + Send;

    /// Stops every container and the sandbox. `grace_seconds` takes the place of the pod's own grace period.
    fn stop(
        &self,
        job: &Job,
        grace_seconds: Option<u64>,
    ) -> impl Future<Output = Result<(), RoundError>> + Send;

    /// Takes down volumes and cgroup; with `removed`, also what was kept of its containers.
    fn clean_up(&self, job: &Job, removed: bool) -> impl Future<Output = Result<(), RoundError>> + Send;

    /// Derives the pod's status from what is known now and publishes it.
    fn publish(&self, job: &Job);

    /// The pod is gone and nothing will be said of it any more.
    fn forget(&self, pod: &PodRef);
}
