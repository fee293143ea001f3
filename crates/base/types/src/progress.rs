//! What a pod's worker is doing and what holds it up: the matter of `berth why`.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

/// The steps of a pod's life, in order. Each one is awaited, and a pod is in exactly one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Step {
    /// Waiting for its turn: another pod of the same name is still being stopped.
    Queued,
    /// May it run here.
    Admission,
    /// The runtime or its network is not ready.
    Runtime,
    /// Making the pod's cgroup and its directories.
    Cgroup,
    /// Preparing volumes.
    Volumes,
    /// Waiting for a place among the pods that start at once.
    StartSlot,
    /// Making the sandbox (namespaces and network).
    Sandbox,
    /// Pulling an image.
    Image,
    /// Creating a container.
    Create,
    /// Starting a container.
    Start,
    /// Running a lifecycle hook.
    Hook,
    /// Waiting before the next attempt after a failure.
    BackOff,
    /// Waiting for an init container or a sidecar to get through.
    Init,
    /// Nothing to do: everything that should run does.
    Running,
    /// Stopping containers.
    Stopping,
    /// Cleaning up after the last container.
    Cleanup,
    /// Ended for good.
    Done,
}

impl Step {
    /// A machine-readable name, stable between versions.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Admission => "Admission",
            Self::Runtime => "Runtime",
            Self::Cgroup => "Cgroup",
            Self::Volumes => "Volumes",
            Self::StartSlot => "StartSlot",
            Self::Sandbox => "Sandbox",
            Self::Image => "Image",
            Self::Create => "Create",
            Self::Start => "Start",
            Self::Hook => "Hook",
            Self::BackOff => "BackOff",
            Self::Init => "Init",
            Self::Running => "Running",
            Self::Stopping => "Stopping",
            Self::Cleanup => "Cleanup",
            Self::Done => "Done",
        }
    }
}

/// Where a pod's worker stands. Published through a `watch` channel per pod; written at each step, so that a call
/// that hangs is seen at once, under its name.
#[derive(Clone, PartialEq, Debug)]
pub struct Progress {
    /// The step.
    pub step: Step,
    /// When the step began.
    pub since: Timestamp,
    /// What the step is about: the name of a container, a volume or an image.
    pub subject: Option<Arc<str>>,
    /// What is being waited for, in words, such as `CRI call RunPodSandbox`. Empty when nothing is.
    pub waiting_for: String,
    /// The latest failure that has not been got over yet.
    pub failure: Option<StepFailure>,
}

impl Progress {
    /// A worker at `step` since `now`, with nothing to say yet.
    #[must_use]
    pub fn at(step: Step, now: Timestamp) -> Self {
        Self { step, since: now, subject: None, waiting_for: String::new(), failure: None }
    }
}

/// A failure of a step.
#[derive(Clone, PartialEq, Debug)]
pub struct StepFailure {
    /// The step that failed.
    pub step: Step,
    /// CamelCase reason, as in events and container states.
    pub reason: String,
    /// What happened, with the chain of causes.
    pub message: String,
    /// When it last happened.
    pub at: Timestamp,
    /// When it will be tried again; `None`: only when something changes.
    pub retry_at: Option<Timestamp>,
}

/// Why the next start of a container fails or waits: `state.waiting` of its status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// CamelCase reason, such as `ErrImagePull` or `CrashLoopBackOff`.
    pub reason: String,
    /// What happened.
    pub message: String,
}

/// Failures by container name.
pub type Failures = BTreeMap<String, Failure>;

/// Why the node ended a pod: refusal at admission, a deadline, eviction, preemption, shutdown. Its phase becomes
/// `Failed`, unless it has succeeded before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// `status.reason`, such as `Evicted` or `DeadlineExceeded`.
    pub reason: String,
    /// `status.message`.
    pub message: String,
    /// Whether the node disrupted the pod for ends of its own (eviction, preemption, shutdown): then the condition
    /// `DisruptionTarget` says so, with reason `TerminationByKubelet`.
    pub disruption: bool,
}
