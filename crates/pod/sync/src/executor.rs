//! Carries out what was decided for a pod.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cgroup::{PodCgroupConfig, PodCgroups};
use containerconfig::NodeFacts;
use cri::{CriError, CriErrorKind, Runtime};
use futures::future::join_all;
use image::Images;
use jiff::Timestamp;
use pleg::Pleg;
use task::cell::PodCell;
use task::events::Recorder;
use task::slots::Slots;
use tokio::sync::watch;
use types::objects::ObjectError;
use types::reason::{event, waiting};
use types::{ContainerId, Event, Failure, ObservedPod, Pod, PodUid, Step, pod};
use volume::Volumes;

use crate::apiobjects::{API_AWAY, ApiObjects, until_refresh};
use crate::crash::{CrashBackOff, CrashDelays};
use crate::dead::DeadContainers;
use crate::metrics::Metrics;
use crate::plan::{Plan, PlanInput, Sandbox, plan};
use crate::underway::UnderWay;
use crate::userns::{UserNamespaces, UserNsError};

/// How long the start of one pod counts against the number of parallel ones.
const START_HOLD: Duration = Duration::from_secs(5);

/// How many pods prepare their volumes at once, and how long each of them counts. Volumes hang more often than runtimes do, and
/// cost next to nothing when they do not.
const PREPARING: usize = 32;
const PREPARING_HOLD: Duration = Duration::from_secs(1);

/// Wait before the next round of a pod that found the runtime away.
const RUNTIME_AWAY: Duration = Duration::from_secs(1);

/// What the executor works with.
#[derive(Clone)]
pub struct Needs {
    /// The container runtime.
    pub runtime: Runtime,
    /// What the runtime has of each pod.
    pub pleg: Pleg,
    /// Images.
    pub images: Images,
    /// Volumes.
    pub volumes: Volumes,
    /// The API server's objects.
    pub objects: Arc<dyn ApiObjects>,
    /// Cgroups of pods; `None` until the runtime has said which driver it uses.
    pub cgroups: watch::Receiver<PodCgroup>,
    /// The ids of pods with a user namespace of their own.
    pub userns: Arc<UserNamespaces>,
    /// Where events go.
    pub recorder: Recorder,
    /// What the node tells its containers; changes when the configuration of the network does.
    pub facts: watch::Receiver<Arc<NodeFacts>>,
    /// Metrics.
    pub metrics: Metrics,
}

/// Whether pods have cgroups.
#[derive(Clone)]
pub enum PodCgroup {
    /// That is not known yet, or they cannot be made yet: what is waited for.
    Awaited(String),
    /// They have (`cgroupsPerQOS`).
    On(PodCgroups),
    /// The runtime puts containers where it likes.
    Off,
}

/// Bounds and places.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many pods may be started at once.
    pub parallel_starts: usize,
    /// How long crash back-off is.
    pub crash_delays: CrashDelays,
    /// Which dead containers are kept.
    pub dead_containers: DeadContainers,
    /// Root of the state (`--root-dir`).
    pub root_dir: PathBuf,
    /// Root of pod logs (`podLogsDir`).
    pub pod_logs_dir: PathBuf,
    /// Where the links to logs are made (`/var/log/containers`).
    pub container_logs_dir: PathBuf,
    /// How pod cgroups are limited.
    pub cgroup: PodCgroupConfig,
}

/// A round that went well.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Synced {
    /// When to look again although nothing happened.
    pub again_in: Option<Duration>,
}

/// Why a round failed. Failures of single containers are in the pod's cell, and fail the round with
/// [`SyncError::Containers`].
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// A call to the runtime failed.
    #[error("the container runtime failed")]
    Runtime(#[from] CriError),
    /// The pod's cgroup could not be made or removed.
    #[error("the pod's cgroup could not be made or removed")]
    Cgroup(#[from] cgroup::CgroupError),
    /// The sandbox could not be made.
    #[error("the pod's sandbox could not be made")]
    Sandbox(#[source] CriError),
    /// Its RuntimeClass cannot be looked up.
    #[error("the pod's RuntimeClass cannot be used")]
    RuntimeClass(#[source] ObjectError),
    /// It cannot have a user namespace of its own.
    #[error("the pod cannot have a user namespace of its own")]
    UserNamespace(#[from] UserNsError),
    /// Its volumes could not be prepared.
    #[error(transparent)]
    Volume(#[from] volume::VolumeError),
    /// Its volumes could not be taken down.
    #[error(transparent)]
    Teardown(#[from] volume::NotTornDown),
    /// Its UID cannot be the name of a directory.
    #[error("the pod cannot have a directory")]
    Uid(#[from] volume::paths::UnusableUid),
    /// Its directory could not be made.
    #[error("the pod's directory could not be made")]
    Dir(#[from] linux::PathError),
    /// A directory or file of the pod could not be made.
    #[error("a directory of the pod is missing")]
    File(#[from] crate::files::FileError),
    /// The sandbox's configuration could not be made from the spec.
    #[error("the pod's sandbox cannot be configured")]
    Config(#[from] containerconfig::ConfigError),
    /// Something that was to be stopped still runs.
    #[error("{0}")]
    StillRunning(String),
    /// The runtime says that it has removed the pod, and still has it.
    #[error("the container runtime still has what it was told to remove")]
    NotRemoved,
    /// Containers could not be started or stopped.
    #[error("{}", failures.join("; "))]
    Containers {
        /// What happened to each.
        failures: Vec<String>,
        /// When it makes sense to try again.
        again_in: Option<Duration>,
    },
}

impl SyncError {
    /// When it makes sense to try again; `None`: after the usual delay.
    #[must_use]
    pub fn again_in(&self) -> Option<Duration> {
        match self {
            Self::Runtime(call) | Self::Sandbox(call) => again_in(call),
            Self::Containers { again_in, .. } => *again_in,
            Self::Volume(error) => {
                let api_away = error.is_transient().then_some(API_AWAY);
                api_away.into_iter().chain(error.again_in()).min()
            }
            Self::Teardown(error) => Some(error.again_in),
            Self::RuntimeClass(error) if !error.is_not_found() => Some(API_AWAY),
            _ => None,
        }
    }

    /// The reason that goes with the failed round.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Cgroup(_) => event::FAILED_CREATE_POD_CONTAINER,
            Self::Sandbox(_) | Self::Config(_) | Self::UserNamespace(_) | Self::RuntimeClass(_) => {
                event::FAILED_CREATE_POD_SANDBOX
            }
            Self::Volume(_) => event::FAILED_MOUNT,
            Self::StillRunning(_) | Self::NotRemoved | Self::Teardown(_) => event::FAILED_KILL_POD,
            _ => event::FAILED_SYNC,
        }
    }
}

/// When to try again after a call that failed: soon if the runtime was away, which does not last.
pub(crate) fn again_in(call: &CriError) -> Option<Duration> {
    (call.kind == CriErrorKind::Unavailable).then_some(RUNTIME_AWAY)
}

/// Carries out plans.
pub struct Executor {
    pub(crate) needs: Needs,
    pub(crate) settings: Settings,
    pub(crate) crash: CrashBackOff,
    pub(crate) starts: Slots,
    pub(crate) preparing: Slots,
    pub(crate) under_way: UnderWay,
    /// Pods that a round has done something to that nobody has looked at since: what is known of them is from before.
    acted: Mutex<HashSet<PodUid>>,
    /// What each pod's cgroup and files are up to.
    followed: Mutex<HashMap<PodUid, Followed>>,
}

/// What of a pod outlives its containers and was brought up to date.
pub(crate) struct Followed {
    pod: Arc<Pod>,
    /// That of the objects that its volumes show.
    objects: u64,
}

impl Executor {
    /// An executor.
    #[must_use]
    pub fn new(needs: Needs, settings: Settings) -> Self {
        Self {
            crash: CrashBackOff::new(settings.crash_delays),
            starts: Slots::new(settings.parallel_starts, START_HOLD),
            preparing: Slots::new(PREPARING, PREPARING_HOLD),
            under_way: UnderWay::default(),
            acted: Mutex::default(),
            followed: Mutex::default(),
            needs,
            settings,
        }
    }

    /// The starts of containers that are under way.
    #[must_use]
    pub fn under_way(&self) -> UnderWay {
        self.under_way.clone()
    }

    /// One round towards the spec of `pod`. May be dropped at any await.
    ///
    /// # Errors
    /// If something of the round failed; the rest of it was done all the same where that makes sense.
    pub async fn sync(&self, pod: &Arc<Pod>, cell: &PodCell) -> Result<Synced, SyncError> {
        let (observed, now) = (self.known(cell).await?, Timestamp::now());
        let back_off = self.crash.of_pod(&observed, now);
        let probes = cell.probes.borrow().clone();
        let plan = plan(&PlanInput {
            pod,
            observed: &observed,
            probes: &probes,
            back_off: &back_off,
            terminating: false,
            now,
        });
        self.tell_back_off(&plan, cell);
        if plan.is_empty() {
            let refresh = self.follow(pod, cell).await?;
            if self.remove_surplus(&observed, cell).await {
                self.needs.pleg.refresh(&cell.pod).await?;
            }
            rest(pod, &observed, &plan, cell);
            return Ok(Synced { again_in: plan.next_wake.into_iter().chain(refresh).min() });
        }
        self.lock_acted().insert(cell.pod.uid.clone());
        let outcome = self.carry_out(pod, &observed, &plan, cell).await;
        self.look(cell).await?;
        outcome?;
        Ok(Synced { again_in: plan.next_wake })
    }

    /// What the runtime has of the pod, asked for only if that is not known. After a look that failed, what is known
    /// can be older than what was done, and so it can after a round that was cut short, and once a start has ended that
    /// nobody waited for any more.
    pub(crate) async fn known(&self, cell: &PodCell) -> Result<Arc<ObservedPod>, CriError> {
        let has_started = self.under_way.ended(&cell.pod.uid).await;
        let pending = self.needs.pleg.pending(&cell.pod.uid);
        let has_acted = self.lock_acted().contains(&cell.pod.uid);
        let is_stale = has_started || has_acted || pending.is_some_and(|look| look.error.is_some());
        if let Some(observed) = self.needs.pleg.known(&cell.pod).filter(|_| !is_stale) {
            return Ok(observed);
        }
        cell.at(Step::Runtime, None, "CRI call ListPodSandbox");
        self.look(cell).await
    }

    /// Looks at the pod: whatever was done to it before is known from then on.
    async fn look(&self, cell: &PodCell) -> Result<Arc<ObservedPod>, CriError> {
        let observed = self.needs.pleg.refresh(&cell.pod).await?;
        self.lock_acted().remove(&cell.pod.uid);
        Ok(observed)
    }

    fn lock_acted(&self) -> MutexGuard<'_, HashSet<PodUid>> {
        self.acted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings what outlives a container up to the pod's present spec and metadata: the limits of its cgroup, and files
    /// that show its labels, its annotations and objects of the API server. Done once for each version of the pod and of
    /// those objects that the executor meets. Returns how long until a token is to be replaced.
    async fn follow(&self, pod: &Arc<Pod>, cell: &PodCell) -> Result<Option<Duration>, SyncError> {
        let objects = self.find(pod, &volume::references(pod), cell, Step::Volumes, None).await;
        let refresh = until_refresh(&objects, Timestamp::now());
        let version = objects.version();
        let (same_pod, same_objects) = {
            let followed = self.lock_followed();
            let known = followed.get(&cell.pod.uid);
            (
                known.is_some_and(|known| Arc::ptr_eq(&known.pod, pod)),
                known.is_some_and(|known| known.objects == version),
            )
        };
        if !same_pod {
            self.ensure_cgroup(pod, cell).await?;
        }
        if !same_pod || !same_objects {
            let refreshed = self.needs.volumes.refresh(pod, &objects).await;
            let behind = refreshed.inspect_err(|error| self.tell_mount_failures(&error.failures, cell))?;
            self.tell_mount_failures(&behind, cell);
            let followed = Followed { pod: Arc::clone(pod), objects: version };
            self.lock_followed().insert(cell.pod.uid.clone(), followed);
        }
        Ok(refresh)
    }

    pub(crate) fn lock_followed(&self) -> MutexGuard<'_, HashMap<PodUid, Followed>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cgroups of pods once they are there; `None` if pods have none. Until then `cell` tells what `step` waits for.
    pub(crate) async fn cgroups(&self, cell: &PodCell, step: Step) -> Option<PodCgroups> {
        let mut cgroups = self.needs.cgroups.clone();
        loop {
            match &*cgroups.borrow_and_update() {
                PodCgroup::On(cgroups) => return Some(cgroups.clone()),
                PodCgroup::Off => return None,
                PodCgroup::Awaited(what) => cell.at(step, None, what),
            }
            // The sender lives as long as the agent.
            cgroups.changed().await.ok()?;
        }
    }

    fn tell_back_off(&self, plan: &Plan, cell: &PodCell) {
        for waiting in &plan.back_off {
            let failure =
                Failure { reason: waiting::CRASH_LOOP_BACK_OFF.to_owned(), message: waiting.message.clone() };
            let news = cell.failures.borrow().get(&*waiting.name) != Some(&failure);
            if news {
                let event = Event::warning(
                    &cell.pod,
                    event::BACK_OFF,
                    format!(
                        "Back-off restarting failed container {} in pod {}",
                        waiting.name,
                        cell.pod.formatted()
                    ),
                );
                self.needs.recorder.record(event.about(waiting.kind, &waiting.name));
                cell.container_failure(&waiting.name, Some(failure));
            }
        }
    }

    async fn carry_out(
        &self,
        pod: &Arc<Pod>,
        observed: &ObservedPod,
        plan: &Plan,
        cell: &PodCell,
    ) -> Result<(), SyncError> {
        if plan.kill_pod {
            let termination = crate::plan::termination(pod, observed, None);
            drop(self.terminate(pod, observed, &termination, cell).await?);
        }
        for sandbox in &plan.stop_sandboxes {
            cell.at(Step::Stopping, None, "CRI call StopPodSandbox");
            drop(self.stop_sandbox(sandbox).await?);
        }
        let kills = plan.kill.iter().map(|kill| self.kill(pod, observed, kill, cell));
        let mut not_killed: Vec<ContainerId> = Vec::new();
        let mut failures = Vec::new();
        for (kill, killed) in plan.kill.iter().zip(join_all(kills).await) {
            if let Err(error) = killed {
                not_killed.push(kill.id.clone());
                failures.push(format!("container {:?}: {}", &*kill.name, telemetry::chain(&error)));
            }
        }
        for id in plan.remove.iter().filter(|id| !not_killed.contains(id)) {
            self.remove_container(id, observed, plan.restart_all.is_some()).await?;
        }
        let mut again_in = None;
        if !plan.start.is_empty() || matches!(plan.sandbox, Sandbox::Create { .. }) {
            let started = self.start_all(pod, observed, plan, &not_killed, cell).await?;
            failures.extend(started.failures);
            again_in = started.again_in;
        }
        if failures.is_empty() { Ok(()) } else { Err(SyncError::Containers { failures, again_in }) }
    }

    /// The address that hooks of the pod go to.
    pub(crate) fn hook_ip(&self, pod: &Pod, observed: &ObservedPod) -> Option<IpAddr> {
        if pod::host_network(pod) {
            return self.needs.facts.borrow().host_ips.first().copied();
        }
        observed.ips().first().copied()
    }
}

/// Says why a pod with nothing to do has nothing to do.
fn rest(pod: &Pod, observed: &ObservedPod, plan: &Plan, cell: &PodCell) {
    if let Some(waiting) = plan.back_off.first() {
        cell.at(Step::BackOff, Some(&waiting.name), format!("the end of its back-off at {}", waiting.until));
        return;
    }
    for container in observed.live() {
        cell.container_failure(&container.name, None);
    }
    let waits_for_init = pod::regular_containers(pod).iter().any(|c| observed.newest(&c.name).is_none());
    let running_init = pod::init_containers(pod)
        .iter()
        .find(|c| waits_for_init && observed.newest(&c.name).is_some_and(|c| c.state.may_run()));
    match running_init {
        Some(init) => cell.at(Step::Init, Some(&init.name), "an init container to finish"),
        None => cell.at(Step::Running, None, ""),
    }
}
