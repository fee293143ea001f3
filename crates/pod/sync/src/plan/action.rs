//! What a plan consists of.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use types::{ContainerId, ContainerKind, SandboxId};

/// What has to be done for one pod, in this order:
///
/// 1. with [`kill_pod`](Self::kill_pod), stop all containers by [`super::termination`];
/// 2. stop [`stop_sandboxes`](Self::stop_sandboxes);
/// 3. kill [`kill`](Self::kill), in parallel;
/// 4. remove [`remove`](Self::remove), one after the other, keeping log files when [`restart_all`](Self::restart_all);
/// 5. make the sandbox, if so;
/// 6. start [`start`](Self::start) in order.
///
/// The same plan comes out again as long as nothing of it has been done; of one that was carried out in part, what is
/// left comes out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Everything that lives has to end, either for good or because the sandbox is of no use any more.
    pub kill_pod: bool,
    /// Sandboxes to stop, newest first, once their containers have stopped.
    pub stop_sandboxes: Vec<SandboxId>,
    /// Single containers to kill. Empty when the whole pod is killed.
    pub kill: Vec<Kill>,
    /// Dead containers (or such that `kill` ends) to remove from the runtime, in this order.
    pub remove: Vec<ContainerId>,
    /// The sandbox that containers are started in.
    pub sandbox: Sandbox,
    /// Containers to start: ephemeral ones, then init containers and sidecars, then regular ones, each in the order
    /// of the spec. The failure of a regular init container keeps those behind it from starting; any other failure
    /// only concerns its own container.
    pub start: Vec<Start>,
    /// Containers that would be started but for their crash back-off.
    pub back_off: Vec<BackedOff>,
    /// The container whose end restarts all of them (KEP-5532): `kill` and `remove` carry that out.
    pub restart_all: Option<Arc<str>>,
    /// When to plan again although nothing happened: the end of the shortest back-off.
    pub next_wake: Option<Duration>,
}

impl Plan {
    /// Whether there is nothing to do now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.kill_pod
            && self.stop_sandboxes.is_empty()
            && self.kill.is_empty()
            && self.remove.is_empty()
            && self.start.is_empty()
            && !matches!(self.sandbox, Sandbox::Create { .. })
    }
}

/// What becomes of the pod's sandbox.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Sandbox {
    /// There is none, and none is needed.
    #[default]
    None,
    /// The newest one is fit for use.
    Keep(SandboxId),
    /// Make a new one.
    Create {
        /// How many the pod had before. From 1 on the event `SandboxChanged` is due.
        attempt: u32,
    },
}

/// One container to kill.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kill {
    /// Which instance.
    pub id: ContainerId,
    /// Its name.
    pub name: Arc<str>,
    /// Its part in the pod; `None` if the spec has no container of that name.
    pub kind: Option<ContainerKind>,
    /// Why.
    pub reason: KillReason,
    /// Why, in words, for the event `Killing`.
    pub message: String,
    /// Seconds from the preStop hook's start to SIGKILL. At 0 no hook is run. What is left after the hook is given
    /// to the runtime by [`super::stop_timeout_seconds`].
    pub grace_seconds: i64,
}

/// Why a container is killed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KillReason {
    /// Its name or image in the spec is no longer the one that it was started from.
    DefinitionChanged,
    /// Its liveness probe failed.
    LivenessProbe,
    /// Its startup probe failed.
    StartupProbe,
    /// The runtime does not know whether it runs: to be sure before it is started again.
    Unknown,
    /// It is not the one instance that ought to run: an older one, one in another sandbox, one the spec lacks.
    Surplus,
    /// The end of another container restarts all of them.
    RestartAll,
    /// The whole pod stops.
    PodStopped,
}

/// One container to start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Start {
    /// Its part in the pod.
    pub kind: ContainerKind,
    /// Its name.
    pub name: Arc<str>,
    /// The new instance's restart count (CRI: `attempt`). `None` when the runtime has no earlier instance left: then
    /// it is one more than the highest number among its log files, or 0.
    pub restart_count: Option<u32>,
    /// The instance that `kill` ends first. If that fails, this must not be started.
    pub replaces: Option<ContainerId>,
}

/// One container that waits out its crash back-off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackedOff {
    /// Its part in the pod.
    pub kind: ContainerKind,
    /// Its name.
    pub name: Arc<str>,
    /// When it may be started.
    pub until: Timestamp,
    /// The message beside the reason `CrashLoopBackOff`.
    pub message: String,
}

/// How the containers of a pod are stopped.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Termination {
    /// Seconds from now until the last SIGKILL, for all stages together.
    pub grace_seconds: i64,
    /// Stage after stage; within one, all at once. Sidecars come one per stage, the last of the spec first. preStop
    /// hooks of all stages run from the beginning.
    pub stages: Vec<Vec<Kill>>,
}
