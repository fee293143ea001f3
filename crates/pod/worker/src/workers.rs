//! The set of pods and their actors.

mod count;
mod preempt;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use types::{Ended, Pod, PodChange, PodName, PodRef, PodUid, SourceKind, Step, pod};

use crate::actor::{Actor, End};
use crate::lifecycle::{Job, Lifecycle, Target, Verdict};
use crate::metrics::Metrics;
use crate::order::{Order, Stop};
use crate::{Phase, PodCell};

/// Grace period of pods that only the runtime knows, in seconds.
const ORPHAN_GRACE_SECONDS: u64 = 1;

/// One pod as others see it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its spec, or only its name when no source knows it.
    pub target: Target,
    /// Its worker's published state.
    pub cell: Arc<PodCell>,
    /// Whether no source has it any more: it is being stopped, and nothing of it is kept.
    pub removed: bool,
}

/// All pods as they are now.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// The pods, by UID.
    pub pods: BTreeMap<PodUid, Entry>,
    /// Whether every source has been read and the runtime has told what it has. Until then a pod that is not in the
    /// table may still come, and nothing of it may be removed.
    pub complete: bool,
    /// Whether all of every source could be read. If not, a static pod that is not in the table may be one whose manifest
    /// cannot be read.
    pub whole: bool,
}

impl Table {
    /// The pod of that name and its spec. One that only the runtime has is not found: it is shown to nobody.
    #[must_use]
    pub fn named(&self, namespace: &str, name: &str) -> Option<(&PodRef, &Arc<Pod>)> {
        self.pods.values().find_map(|entry| {
            let pod = &entry.cell.pod;
            let fits = *pod.name.namespace == *namespace && *pod.name.name == *name;
            Some((pod, entry.target.pod().filter(|_| fits)?))
        })
    }
}

/// A pod of the set.
struct Member {
    entry: Entry,
    orders: watch::Sender<Order>,
    first_seen: Instant,
    life: Life,
    /// Wanted again under the same UID while it was being stopped.
    again: Option<Arc<Pod>>,
    /// Those that have to make way before it is asked again whether it may run; itself, while something is looked up.
    waits_for: BTreeSet<PodUid>,
}

impl Member {
    fn new(target: Target, cell: PodCell, order: Order) -> Self {
        Self {
            entry: Entry { target, cell: Arc::new(cell), removed: false },
            orders: watch::Sender::new(order),
            first_seen: Instant::now(),
            life: Life::Queued,
            again: None,
            waits_for: BTreeSet::new(),
        }
    }

    fn is_stopping(&self) -> bool {
        matches!(&*self.orders.borrow(), Order::Stop(_))
    }

    fn is_removed(&self) -> bool {
        matches!(&*self.orders.borrow(), Order::Stop(stop) if stop.removed)
    }
}

/// Who takes care of a pod now.
enum Life {
    /// Nobody yet: the runtime has not been asked what it has, or other pods have to go first.
    Queued,
    /// Its actor.
    Worked,
    /// Nobody any more: it ended, and its source still has it.
    Resting,
    /// Nobody: it was refused at admission, and nothing of it exists.
    Refused,
}

/// The owner of the set of pods.
pub struct Workers<L> {
    lifecycle: Arc<L>,
    members: HashMap<PodUid, Member>,
    actors: JoinSet<(PodUid, End)>,
    running: HashMap<Id, PodUid>,
    /// Pods that make way for others: each ends when nothing of its pod runs any more. And looks for those that wait for
    /// one.
    making_way: JoinSet<PodUid>,
    /// Actors that have not been set to work yet.
    starting: Vec<Actor<L>>,
    /// Sources that have not been read yet.
    unseen: BTreeSet<SourceKind>,
    /// Sources of which a part could never be read.
    partial: BTreeSet<SourceKind>,
    /// Static pods that are left alone because their manifests may be in that part.
    left_alone: BTreeSet<PodRef>,
    node_name: Arc<str>,
    /// Whether the runtime has told what it has. Until then nobody is admitted: a pod that runs already must not be
    /// measured against what is left.
    runtime_known: bool,
    table: watch::Sender<Arc<Table>>,
    resync: Duration,
    metrics: Metrics,
}

impl<L: Lifecycle> Workers<L> {
    /// Workers for the pods that `sources` have for the node `node_name`, with a look at each idle pod every `resync`. The
    /// receiver shows the set.
    #[must_use]
    pub fn new(
        lifecycle: Arc<L>,
        node_name: &str,
        sources: impl IntoIterator<Item = SourceKind>,
        resync: Duration,
        metrics: Metrics,
    ) -> (Self, watch::Receiver<Arc<Table>>) {
        let (table, receiver) = watch::channel(Arc::default());
        let workers = Self {
            lifecycle,
            members: HashMap::new(),
            actors: JoinSet::new(),
            running: HashMap::new(),
            making_way: JoinSet::new(),
            starting: Vec::new(),
            unseen: sources.into_iter().collect(),
            partial: BTreeSet::new(),
            left_alone: BTreeSet::new(),
            node_name: node_name.into(),
            runtime_known: false,
            table,
            resync,
            metrics,
        };
        (workers, receiver)
    }

    /// Takes pod changes until their sender is gone. `runtime` lists the pods that the runtime has; `None` until it
    /// has been asked once. Dropping the future leaves every container as it is.
    pub async fn run(
        mut self,
        mut changes: mpsc::Receiver<PodChange>,
        mut runtime: watch::Receiver<Option<Arc<BTreeSet<PodRef>>>>,
    ) {
        loop {
            self.admit_waiting(&runtime);
            self.stop_orphans(&runtime);
            self.publish();
            self.spawn_starting();
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => {
                        self.apply(change);
                        // A burst of changes makes one snapshot.
                        while let Ok(change) = changes.try_recv() {
                            self.apply(change);
                        }
                    }
                    None => return,
                },
                Some(end) = self.actors.join_next_with_id() => self.actor_ended(end),
                Some(Ok(gone)) = self.making_way.join_next() => self.made_way(&gone),
                Ok(()) = runtime.changed() => {}
            }
        }
    }

    fn apply(&mut self, change: PodChange) {
        match change {
            PodChange::Set(pod) => self.set(pod),
            PodChange::Remove(pod) => self.remove(&pod.uid),
            PodChange::Seen { source, whole } => {
                self.unseen.remove(&source);
                if whole {
                    self.partial.remove(&source)
                } else {
                    self.partial.insert(source)
                };
            }
        }
    }

    fn set(&mut self, pod: Arc<Pod>) {
        let pod_ref = PodRef::of(&pod);
        let Some(member) = self.members.get_mut(&pod_ref.uid) else {
            return self.add(pod_ref, pod);
        };
        if member.is_removed() {
            tracing::info!(pod = %pod_ref, "Pod is wanted again under the same UID; it starts afresh once it is gone");
            member.again = Some(pod);
            return;
        }
        member.entry.target = Target::Configured(Arc::clone(&pod));
        give(&member.orders, &order_for(pod));
        // Nobody has to make way any more for what is not to run.
        if matches!(member.life, Life::Queued) && member.is_stopping() && self.runtime_known {
            self.start_actor(&pod_ref.uid);
        }
    }

    fn add(&mut self, pod_ref: PodRef, pod: Arc<Pod>) {
        tracing::info!(pod = %pod_ref, uid = %pod_ref.uid, "Pod added");
        self.metrics.containers_per_pod.observe(&[], number(pod::regular_containers(&pod).len()));
        let behind = pod::is_static(&pod) && self.name_is_taken(&pod_ref.name);
        let queued = behind || !self.runtime_known;
        let cell = PodCell::new(pod_ref.clone(), if queued { Phase::Queued } else { Phase::Running });
        if behind {
            cell.at(Step::Queued, None, "an older pod of the same name is still being stopped");
        } else if queued {
            cell.at(Step::Runtime, None, "the container runtime to tell what it runs");
        }
        let member = Member::new(Target::Configured(Arc::clone(&pod)), cell, order_for(pod));
        self.members.insert(pod_ref.uid.clone(), member);
        if !queued {
            self.admit(&pod_ref.uid);
        }
    }

    /// Admits those who waited for the runtime's first answer: pods that it has already come first.
    fn admit_waiting(&mut self, runtime: &watch::Receiver<Option<Arc<BTreeSet<PodRef>>>>) {
        let Some(present) = runtime.borrow().clone().filter(|_| !self.runtime_known) else { return };
        self.runtime_known = true;
        let mut waiting: Vec<_> = self
            .members
            .values()
            .map(|member| {
                (!present.contains(&member.entry.cell.pod), member.first_seen, member.entry.cell.pod.clone())
            })
            .collect();
        waiting.sort();
        for (_, _, pod) in waiting {
            let worked = |m: &Member| m.entry.cell.pod.name == pod.name && matches!(m.life, Life::Worked);
            if !self.members.values().any(worked) {
                self.admit(&pod.uid);
            }
        }
    }

    fn name_is_taken(&self, name: &PodName) -> bool {
        self.members
            .values()
            .any(|m| m.entry.cell.pod.name == *name && matches!(m.life, Life::Queued | Life::Worked))
    }

    /// Admits the pod and starts its actor, or lets it rest as refused, or has others make way for it. What is to be
    /// stopped or has ended is not asked whether it may run.
    fn admit(&mut self, uid: &PodUid) {
        let active = self.active_pods(uid);
        let Some(member) = self.members.get_mut(uid) else { return };
        let order = member.orders.borrow().clone();
        let verdict = match &order {
            Order::Run(pod) if !pod::is_terminal(pod) => self.lifecycle.admit(pod, &active),
            Order::Run(_) | Order::Stop(_) => Verdict::Run,
        };
        match verdict {
            Verdict::Run => self.start_actor(uid),
            Verdict::Preempt { victims, ended, metric_label } => {
                self.metrics.preemptions.add(&[metric_label.as_str()], victims.len() as u64);
                self.preempt(uid, &victims, &ended);
            }
            Verdict::Unsure => self.look_first(uid),
            Verdict::Reject { ended, metric_label } => self.refuse(uid, ended, metric_label),
        }
    }

    fn refuse(&mut self, uid: &PodUid, ended: Ended, metric_label: &'static str) {
        let Some(member) = self.members.get_mut(uid) else { return };
        tracing::warn!(pod = %member.entry.cell.pod, reason = ended.reason, message = ended.message, "Pod was refused");
        self.metrics.admission_rejections.inc(&[metric_label]);
        let cell = &member.entry.cell;
        cell.at(Step::Admission, None, "");
        cell.failed(types::StepFailure {
            step: Step::Admission,
            reason: ended.reason.clone(),
            message: ended.message.clone(),
            at: jiff::Timestamp::now(),
            retry_at: None,
        });
        cell.ended.send_replace(Some(ended));
        if self.lifecycle.has_begun(&cell.pod) {
            // Nothing of it runs. An actor comes to take away what there is.
            cell.phase.send_replace(Phase::Terminated);
            give(&member.orders, &Order::Stop(Stop::default()));
            return self.start_actor(uid);
        }
        cell.phase.send_replace(Phase::Finished);
        member.life = Life::Refused;
        let job = Job { target: member.entry.target.clone(), cell: Arc::clone(cell) };
        self.lifecycle.publish(&job);
    }

    fn start_actor(&mut self, uid: &PodUid) {
        let Some(member) = self.members.get_mut(uid) else { return };
        self.metrics.worker_start.observe(&[], member.first_seen.elapsed().as_secs_f64());
        let actor = Actor {
            lifecycle: Arc::clone(&self.lifecycle),
            cell: Arc::clone(&member.entry.cell),
            orders: member.orders.subscribe(),
            target: member.entry.target.clone(),
            resync: jittered(self.resync, uid),
            metrics: self.metrics.clone(),
        };
        member.life = Life::Worked;
        self.starting.push(actor);
    }

    /// Sets actors to work, once the table shows their pods: whoever finds something of a pod that is not in the table
    /// may take it for a leftover.
    fn spawn_starting(&mut self) {
        for actor in std::mem::take(&mut self.starting) {
            let uid = actor.cell.pod.uid.clone();
            let key = uid.clone();
            let handle = self.actors.spawn(async move { (key, actor.run().await) });
            self.running.insert(handle.id(), uid);
        }
    }

    /// Pods that count against the node's resources when `newcomer` is admitted: those of which something may run.
    fn active_pods(&self, newcomer: &PodUid) -> Vec<Arc<Pod>> {
        let may_run = |member: &Member| {
            matches!(member.life, Life::Worked) && *member.entry.cell.phase.borrow() < Phase::Terminated
        };
        self.members
            .iter()
            .filter(|(uid, member)| *uid != newcomer && may_run(member))
            .filter_map(|(_, member)| member.entry.target.pod().cloned())
            .filter(|pod| !pod::is_terminal(pod))
            .collect()
    }

    fn remove(&mut self, uid: &PodUid) {
        let Some(member) = self.members.get_mut(uid) else { return };
        tracing::info!(pod = %member.entry.cell.pod, %uid, "Pod removed");
        member.again = None;
        let stop = Order::Stop(Stop { removed: true, ..Stop::default() });
        give(&member.orders, &stop);
        match member.life {
            Life::Worked => {}
            // An actor comes back to remove what was kept of the pod.
            Life::Resting => self.start_actor(uid),
            Life::Queued | Life::Refused => self.drop_member(uid),
        }
    }

    fn drop_member(&mut self, uid: &PodUid) {
        let Some(member) = self.members.remove(uid) else { return };
        let pod = member.entry.cell.pod.clone();
        self.lifecycle.forget(&pod);
        if let Some(again) = member.again {
            self.metrics.restarted_pods.inc(&[static_label(&member.entry.target)]);
            self.set(again);
        }
        self.start_next_of(&pod.name);
    }

    /// Starts the pod of `name` that has waited longest, if none of that name is worked on.
    fn start_next_of(&mut self, name: &PodName) {
        let of_name = |m: &&Member| m.entry.cell.pod.name == *name;
        if !self.runtime_known
            || self.members.values().filter(of_name).any(|m| matches!(m.life, Life::Worked))
        {
            return;
        }
        let next = self
            .members
            .values()
            .filter(of_name)
            .filter(|m| matches!(m.life, Life::Queued) && m.waits_for.is_empty())
            .min_by_key(|m| m.first_seen)
            .map(|m| m.entry.cell.pod.uid.clone());
        if let Some(uid) = next {
            self.admit(&uid);
        }
    }

    fn actor_ended(&mut self, end: Result<(Id, (PodUid, End)), JoinError>) {
        match end {
            Ok((id, (uid, end))) => {
                self.running.remove(&id);
                match (end, self.members.get_mut(&uid)) {
                    (End::Finished, Some(member)) => {
                        member.life = Life::Resting;
                        // The order may have come between the actor's last look and now.
                        let (removed, name) = (member.is_removed(), member.entry.cell.pod.name.clone());
                        if removed {
                            self.start_actor(&uid);
                        } else {
                            self.start_next_of(&name);
                        }
                    }
                    (_, _) => self.drop_member(&uid),
                }
            }
            Err(error) => {
                // A panic in one pod's worker is that pod's misfortune: it starts over from what is.
                let Some(uid) = self.running.remove(&error.id()) else { return };
                if error.is_panic() {
                    tracing::error!(%uid, %error, "A pod's worker panicked; it starts over");
                    self.start_actor(&uid);
                }
            }
        }
    }

    /// Stops pods that the runtime has and no source knows, once every source has been read. While a part of a source
    /// cannot be, a static pod may be from there.
    fn stop_orphans(&mut self, runtime: &watch::Receiver<Option<Arc<BTreeSet<PodRef>>>>) {
        if !self.unseen.is_empty() {
            return;
        }
        let Some(pods) = runtime.borrow().clone() else { return };
        let unknown: Vec<_> =
            pods.iter().filter(|pod| !self.members.contains_key(&pod.uid)).cloned().collect();
        self.left_alone.retain(|pod| pods.contains(pod));
        for pod in unknown {
            if !self.partial.is_empty() && pod.name.is_static_on(&self.node_name) {
                if self.left_alone.insert(pod.clone()) {
                    tracing::warn!(pod = %pod, uid = %pod.uid, "The runtime has a static pod that no manifest asks for; it is left alone while a manifest cannot be read");
                }
                continue;
            }
            tracing::info!(pod = %pod, uid = %pod.uid, "The runtime has a pod that no source knows; it is stopped");
            self.metrics.orphaned_runtime_pods.inc(&[]);
            let stop = Stop { pod: None, grace_seconds: Some(ORPHAN_GRACE_SECONDS), removed: true };
            let cell = PodCell::new(pod.clone(), Phase::Terminating);
            let member = Member::new(Target::RuntimeOnly(pod.clone()), cell, Order::Stop(stop));
            self.members.insert(pod.uid.clone(), member);
            self.start_actor(&pod.uid);
        }
    }

    fn publish(&self) {
        let entry = |member: &Member| Entry { removed: member.is_removed(), ..member.entry.clone() };
        let pods: BTreeMap<_, _> =
            self.members.iter().map(|(uid, member)| (uid.clone(), entry(member))).collect();
        self.count(&pods);
        let complete = self.runtime_known && self.unseen.is_empty();
        let whole = self.partial.is_empty();
        self.table.send_replace(Arc::new(Table { pods, complete, whole }));
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts of pods and containers are far below 2^52")]
fn number(n: usize) -> f64 {
    n as f64
}

fn static_label(target: &Target) -> &'static str {
    match target {
        Target::Configured(pod) if pod::is_static(pod) => "true",
        Target::Configured(_) => "",
        Target::RuntimeOnly(_) => "unknown",
    }
}

/// What is to be done with `pod`: one that the API server deletes is stopped within the grace period it was given.
fn order_for(pod: Arc<Pod>) -> Order {
    if !pod::is_deleting(&pod) {
        return Order::Run(pod);
    }
    let grace_seconds = pod.metadata.deletion_grace_period_seconds.and_then(|s| u64::try_from(s).ok());
    Order::Stop(Stop { pod: Some(pod), grace_seconds, removed: false })
}

/// Merges `order` into the slot.
fn give(slot: &watch::Sender<Order>, order: &Order) {
    slot.send_modify(|now| *now = now.merged(order));
}

/// `period` times 1 to 1.5, the same for the same pod, so that idle pods are not looked at all at once.
fn jittered(period: Duration, uid: &PodUid) -> Duration {
    let share = f64::from(types::hash::fnv1a_32(uid.as_str().as_bytes())) / f64::from(u32::MAX);
    period.mul_f64(1.0 + share / 2.0)
}
