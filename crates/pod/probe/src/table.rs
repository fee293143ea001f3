//! The pods that are probed: what was shown of each, and how its probes stand. No I/O, no waiting.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use task::cell::PodCell;
use tokio::time::Instant;
use types::restart::{self, AfterExit};
use types::{
    Container, ContainerKind, ContainerState, ObservedContainer, ObservedPod, Pod, PodUid, Probes, pod,
};

use crate::attempt::{Errand, Outcome};
use crate::group::{Group, Sight, Stage};
use crate::key::Key;
use crate::kind::Kind;
use crate::machine::{Machine, Run};
use crate::past::Past;
use crate::seen::Seen;

/// How late an attempt may begin or end before it is spoken of.
const LATE: Duration = Duration::from_secs(1);

/// What an operator ought to know of a probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// The container.
    pub container: String,
    /// `Unhealthy`: its latest attempts failed. `ProbeLate`: they begin later than they should. `ProbeHangs`: one has not
    /// ended though its time is up.
    pub reason: &'static str,
    /// What happened.
    pub message: String,
}

/// The pods.
#[derive(Default)]
pub(crate) struct Table {
    pods: HashMap<PodUid, Entry>,
    /// Probes that may be due at another time than before.
    touched: BTreeSet<Key>,
}

struct Entry {
    pod: Arc<Pod>,
    cell: Arc<PodCell>,
    observed: Arc<ObservedPod>,
    ip: Option<IpAddr>,
    containers: BTreeMap<Arc<str>, Probed>,
}

/// A container that is probed.
struct Probed {
    group: Group,
    /// By [`Kind`].
    latest: [Latest; 3],
}

/// The latest attempts of a probe.
#[derive(Default)]
struct Latest {
    /// What the last one says, if it did not pass, and how many say so.
    failure: Option<(String, u32)>,
    /// How late the last one began.
    lateness: Duration,
}

impl Table {
    /// Takes what is shown of a pod. `began` is when berth was started, and `at` is now on the clock of the day. Returns the
    /// containers that are not probed any more.
    pub(crate) fn see(
        &mut self,
        seen: &Seen<'_>,
        began: Timestamp,
        at: Timestamp,
        now: Instant,
    ) -> Vec<Arc<str>> {
        let Seen { pod, cell, observed, stage, .. } = *seen;
        let uid = &cell.pod.uid;
        let mut probed = probed(pod).peekable();
        if probed.peek().is_none() {
            return Vec::new();
        }
        let ip = if pod::host_network(pod) { seen.node_ip } else { observed.ips().first().copied() };
        let mut changed = false;
        let entry = self.pods.entry(uid.clone()).or_insert_with(|| Entry {
            pod: Arc::clone(pod),
            cell: Arc::clone(cell),
            observed: Arc::clone(observed),
            ip,
            containers: BTreeMap::new(),
        });
        if !Arc::ptr_eq(&entry.observed, observed) {
            entry.observed = Arc::clone(observed);
            changed = true;
        }
        entry.pod = Arc::clone(pod);
        entry.cell = Arc::clone(cell);
        entry.ip = ip;

        let mut over = Vec::new();
        for (kind, container) in probed {
            let name: Arc<str> = container.name.as_str().into();
            let newest = observed.newest(&name);
            if newest.is_some_and(|newest| is_over(pod, kind, container, newest, stage)) {
                if entry.containers.remove(&name).is_some() {
                    self.touched.extend(keys(uid, &name));
                    over.push(name);
                }
                continue;
            }
            if !entry.containers.contains_key(&name) {
                let Some(group) = Group::new(uid.as_str(), kind, container) else { continue };
                entry.containers.insert(Arc::clone(&name), Probed { group, latest: Default::default() });
            }
            let Some(Probed { group, latest }) = entry.containers.get_mut(&name) else { continue };
            let sight = newest.map(|newest| sight(newest, seen, began, at));
            let before = dues(group);
            if group.instance() != sight.as_ref().map(|sight| &sight.id) {
                *latest = Default::default();
            }
            group.see(sight.as_ref(), stage, now);
            if changed {
                group.hurry(now);
            }
            let after = dues(group);
            let touched = keys(uid, &name).zip(before.into_iter().zip(after));
            self.touched.extend(touched.filter(|(_, (before, after))| before != after).map(|(key, _)| key));
        }
        entry.publish();
        if entry.containers.is_empty() {
            self.pods.remove(uid);
        }
        over
    }

    /// Forgets the pod. Returns what it was and which of its containers were probed.
    pub(crate) fn forget(&mut self, uid: &PodUid) -> Option<(Arc<PodCell>, Vec<Arc<str>>)> {
        let entry = self.pods.remove(uid)?;
        let names: Vec<_> = entry.containers.into_keys().collect();
        self.touched.extend(names.iter().flat_map(|name| keys(uid, name)));
        Some((entry.cell, names))
    }

    /// Probes that may be due at another time than before, and when that is; each is told once.
    pub(crate) fn touched(&mut self) -> Vec<(Key, Option<Instant>)> {
        let touched = std::mem::take(&mut self.touched);
        touched.into_iter().map(|key| (key.clone(), self.due(&key))).collect()
    }

    pub(crate) fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    fn due(&self, key: &Key) -> Option<Instant> {
        self.pods.get(&key.pod)?.containers.get(&key.container)?.group.machine(key.kind)?.due()
    }

    /// The attempt that is to be made, if the probe is due.
    pub(crate) fn start(&mut self, key: &Key, now: Instant) -> Option<Errand> {
        let entry = self.pods.get_mut(&key.pod)?;
        let Probed { group, .. } = entry.containers.get_mut(&key.container)?;
        let id = group.instance()?.clone();
        let (run, due) = group.machine_mut(key.kind)?.start(now)?;
        Some(Errand { key: key.clone(), run, due, pod: Arc::clone(&entry.pod), id, ip: entry.ip })
    }

    /// The attempt begins now. `None` if nobody waits for it any more, else how late it is.
    pub(crate) fn begun(&mut self, errand: &Errand, now: Instant) -> Option<Duration> {
        let Errand { key, run, due, .. } = errand;
        let probed = self.pods.get_mut(&key.pod)?.containers.get_mut(&key.container)?;
        probed.group.machine_mut(key.kind)?.begun(*run, now).then(|| {
            let lateness = now.duration_since(*due);
            probed.latest[key.kind as usize].lateness = lateness;
            lateness
        })
    }

    /// The attempt has ended. False if nobody waits for it any more.
    pub(crate) fn finish(&mut self, key: &Key, run: Run, outcome: &Outcome, now: Instant) -> bool {
        let Some(entry) = self.pods.get_mut(&key.pod) else { return false };
        let Some(Probed { group, latest }) = entry.containers.get_mut(&key.container) else { return false };
        if !group.finish(key.kind, run, outcome.answer(), now) {
            return false;
        }
        let failure = &mut latest[key.kind as usize].failure;
        *failure = outcome.failure(key.kind).map(|text| {
            let times = failure.as_ref().map_or(0, |(_, times)| *times);
            (text, times.saturating_add(1))
        });
        // Whether a container has started decides about its other probes.
        self.touched.extend(keys(&key.pod, &key.container));
        entry.publish();
        true
    }

    /// What is wrong with the probes of a pod.
    pub(crate) fn troubles(&self, uid: &PodUid, now: Instant) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let containers = self.pods.get(uid).into_iter().flat_map(|entry| &entry.containers);
        for (name, Probed { group, latest }) in containers {
            for (kind, latest) in Kind::ALL.into_iter().zip(latest) {
                let mut tell = |reason, message| {
                    troubles.push(Trouble { container: name.to_string(), reason, message });
                };
                if let Some((text, times)) = &latest.failure {
                    tell("Unhealthy", format!("{text} ({times} in a row)"));
                }
                let hanging = group.machine(kind).and_then(|machine| machine.hanging(now));
                let hanging = hanging.map(|begun| now.duration_since(begun)).filter(|took| *took >= LATE);
                if let Some(took) = hanging {
                    let (kind, seconds) = (kind.as_str(), took.as_secs_f64());
                    tell(
                        "ProbeHangs",
                        format!("{kind} probe has run for {seconds:.1} s and has not come back"),
                    );
                }
                let waits = group.machine(kind).and_then(Machine::overdue);
                let waits = waits.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
                let lateness = waits.max(latest.lateness);
                if lateness >= LATE {
                    let (kind, seconds) = (kind.as_str(), lateness.as_secs_f64());
                    let begins = if waits == lateness { "is" } else { "began" };
                    tell("ProbeLate", format!("{kind} probe {begins} {seconds:.1} s late"));
                }
            }
        }
        troubles
    }
}

impl Entry {
    /// Tells the pod's worker what the probes found, if that is news.
    fn publish(&self) {
        let groups = || self.containers.values().map(|probed| &probed.group);
        let probes = Probes {
            verdicts: groups().filter_map(Group::verdict).collect(),
            awaited: groups().any(Group::is_awaited),
        };
        self.cell.probes.send_if_modified(|told| {
            let news = **told != probes;
            if news {
                *told = Arc::new(probes);
            }
            news
        });
    }
}

/// The containers that have probes.
fn probed(pod: &Pod) -> impl Iterator<Item = (ContainerKind, &Container)> {
    let init =
        pod::init_containers(pod).iter().map(|container| (ContainerKind::of_init(container), container));
    let regular = pod::regular_containers(pod).iter().map(|container| (ContainerKind::Regular, container));
    let has_probe = |container: &Container| Kind::ALL.into_iter().any(|kind| kind.of(container).is_some());
    init.chain(regular).filter(move |(kind, container)| *kind != ContainerKind::Init && has_probe(container))
}

/// Whether the container has ended and will not be started again.
fn is_over(
    pod: &Pod,
    kind: ContainerKind,
    container: &Container,
    newest: &ObservedContainer,
    stage: Stage,
) -> bool {
    newest.state.exit().is_some_and(|exit| {
        stage == Stage::Terminating || restart::after_exit(pod, kind, container, exit.code) == AfterExit::Stay
    })
}

fn sight(newest: &ObservedContainer, seen: &Seen<'_>, began: Timestamp, at: Timestamp) -> Sight {
    let started_at = match &newest.state {
        ContainerState::Running { started_at } => Some(*started_at),
        _ => None,
    };
    let ran_before = started_at.is_some_and(|started_at| started_at < began);
    Sight {
        id: newest.id.clone(),
        running_for: started_at
            .map(|started_at| Duration::try_from(at.duration_since(started_at)).unwrap_or_default()),
        past: Past::of(seen.last, &newest.name, &newest.id, ran_before),
    }
}

fn keys(pod: &PodUid, container: &Arc<str>) -> impl Iterator<Item = Key> {
    let (pod, container) = (pod.clone(), Arc::clone(container));
    Kind::ALL.into_iter().map(move |kind| Key { pod: pod.clone(), container: Arc::clone(&container), kind })
}

fn dues(group: &Group) -> [Option<Instant>; 3] {
    Kind::ALL.map(|kind| group.machine(kind).and_then(Machine::due))
}
