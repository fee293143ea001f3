//! The set of pods over a lifecycle whose steps do as the test says.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use types::{Ended, ObservedPod, Pod, PodChange, PodRef, PodUid, SourceKind};
use worker::{Job, Lifecycle, Metrics, Phase, Round, RoundError, Table, Verdict, Workers};

#[derive(Default)]
struct Script {
    /// Pods whose sync never ends.
    hung: HashSet<String>,
    /// Pods whose containers have all ended.
    ended: HashSet<String>,
    /// Pods whose next sync panics.
    panics: HashSet<String>,
    /// Pods that are refused.
    refused: HashSet<String>,
    /// Pods of which something is on the node, though they do not run.
    begun: HashSet<String>,
    /// Pods that find room only where another one is not.
    needs_place_of: HashMap<String, String>,
    /// Pods of which admission is sure only after a look.
    unsure: HashSet<String>,
    /// Pods whose containers take as long as the test likes to stop.
    slow: HashSet<String>,
    /// Pods whose volumes cannot be taken away, until somebody comes.
    dirty: HashSet<String>,
    /// Pods whose clean-up takes a second.
    dawdling: HashSet<String>,
    /// When pods are to be looked at again.
    again_in: Option<Duration>,
}

struct Fake {
    script: Mutex<Script>,
    journal: watch::Sender<Vec<String>>,
    observed: Mutex<HashMap<String, watch::Sender<Arc<ObservedPod>>>>,
}

impl Fake {
    fn note(&self, what: &str, job: &Job) {
        self.journal.send_modify(|journal| journal.push(format!("{what} {}", job.cell.pod.uid)));
    }
}

impl Lifecycle for Fake {
    fn admit(&self, pod: &Arc<Pod>, active: &[Arc<Pod>]) -> Verdict {
        let uid = pod.metadata.uid.as_deref().unwrap();
        self.journal.send_modify(|journal| journal.push(format!("admit {uid} beside {}", active.len())));
        if let Some(place) = self.script.lock().unwrap().needs_place_of.get(uid) {
            let victim = active.iter().map(|pod| PodRef::of(pod)).find(|pod| pod.uid.as_str() == place);
            let ended = Ended { reason: "Preempting".into(), message: "room".into(), disruption: true };
            let preempt =
                |victim| Verdict::Preempt { victims: vec![victim], ended, metric_label: "cpu".into() };
            return victim.map_or(Verdict::Run, preempt);
        }
        if self.script.lock().unwrap().unsure.contains(uid) {
            return Verdict::Unsure;
        }
        if self.script.lock().unwrap().refused.contains(pod.metadata.uid.as_deref().unwrap()) {
            let ended = Ended { reason: "OutOfcpu".into(), message: "no room".into(), disruption: false };
            return Verdict::Reject { ended, metric_label: "OutOfcpu" };
        }
        Verdict::Run
    }

    fn look(&self, pod: &PodRef) -> impl Future<Output = ()> + Send + 'static {
        self.script.lock().unwrap().unsure.remove(pod.uid.as_str());
        self.journal.send_modify(|journal| journal.push(format!("look {}", pod.uid)));
        tokio::time::sleep(Duration::from_secs(1))
    }

    fn has_begun(&self, pod: &PodRef) -> bool {
        self.script.lock().unwrap().begun.contains(pod.uid.as_str())
    }

    fn observed(&self, pod: &PodRef) -> watch::Receiver<Arc<ObservedPod>> {
        let mut all = self.observed.lock().unwrap();
        let absent = || watch::Sender::new(Arc::new(ObservedPod::absent(pod.clone())));
        all.entry(pod.uid.to_string()).or_insert_with(absent).subscribe()
    }

    async fn sync(&self, job: &Job) -> Result<Round, RoundError> {
        self.note("sync", job);
        let uid = job.cell.pod.uid.to_string();
        let (hung, ended, panics, again_in) = {
            let mut script = self.script.lock().unwrap();
            let (hung, ended) = (script.hung.contains(&uid), script.ended.contains(&uid));
            (hung, ended, script.panics.remove(&uid), script.again_in)
        };
        assert!(!panics, "on purpose");
        if hung {
            std::future::pending::<()>().await;
        }
        Ok(Round { ended, again_in })
    }

    async fn stop(&self, job: &Job, grace_seconds: Option<u64>) -> Result<(), RoundError> {
        self.note(&format!("stop({grace_seconds:?})"), job);
        if self.script.lock().unwrap().slow.contains(job.cell.pod.uid.as_str()) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn clean_up(&self, job: &Job, removed: bool) -> Result<(), RoundError> {
        self.note(if removed { "remove" } else { "clean" }, job);
        let dawdles = self.script.lock().unwrap().dawdling.contains(job.cell.pod.uid.as_str());
        if dawdles {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        if self.script.lock().unwrap().dirty.contains(job.cell.pod.uid.as_str()) {
            let again_in = Some(Duration::from_secs(3600));
            return Err(RoundError { reason: "FailedKillPod", message: "a driver is away".into(), again_in });
        }
        Ok(())
    }

    fn publish(&self, _: &Job) {}

    fn forget(&self, pod: &PodRef) {
        self.journal.send_modify(|journal| journal.push(format!("forget {}", pod.uid)));
    }
}

struct Bed {
    fake: Arc<Fake>,
    changes: mpsc::Sender<PodChange>,
    runtime: watch::Sender<Option<Arc<BTreeSet<PodRef>>>>,
    table: watch::Receiver<Arc<Table>>,
    journal: watch::Receiver<Vec<String>>,
}

impl Bed {
    fn new(script: Script) -> Self {
        let journal = watch::Sender::new(Vec::new());
        let seen = journal.subscribe();
        let fake = Arc::new(Fake { script: Mutex::new(script), journal, observed: Mutex::default() });
        let metrics = Metrics::register(&telemetry::metrics::Registry::new());
        let (workers, table) =
            Workers::new(Arc::clone(&fake), "node", [SourceKind::File], Duration::from_secs(60), metrics);
        let (changes, receiver) = mpsc::channel(16);
        let runtime = watch::Sender::new(Some(Arc::default()));
        tokio::spawn(workers.run(receiver, runtime.subscribe()));
        Self { fake, changes, runtime, table, journal: seen }
    }

    async fn set(&self, pod: Pod) {
        self.changes.send(PodChange::Set(Arc::new(pod))).await.unwrap();
    }

    async fn remove(&self, pod: &Pod) {
        self.changes.send(PodChange::Remove(PodRef::of(pod))).await.unwrap();
    }

    /// Waits until the journal has `lines` in this order, with others between them.
    async fn until(&mut self, lines: &[&str]) {
        let in_order = |journal: &Vec<String>| {
            let mut rest = journal.iter();
            lines.iter().all(|line| rest.any(|entry| entry == line))
        };
        let limit = Duration::from_secs(600);
        let came =
            tokio::time::timeout(limit, self.journal.wait_for(in_order)).await.is_ok_and(|came| came.is_ok());
        assert!(came, "{lines:?} did not come; the journal is {:?}", *self.journal.borrow());
    }

    fn count(&self, line: &str) -> usize {
        self.journal.borrow().iter().filter(|entry| *entry == line).count()
    }
}

/// A pod of the API server, with more metadata, and in a phase.
fn api_pod(uid: &str, more: serde_json::Value, phase: &str) -> Pod {
    let mut value = serde_json::json!({
        "metadata": {"name": uid, "namespace": "default", "uid": uid},
        "spec": {"containers": [{"name": "c"}]},
        "status": {"phase": phase},
    });
    if let serde_json::Value::Object(more) = more {
        value["metadata"].as_object_mut().unwrap().extend(more);
    }
    serde_json::from_value(value).unwrap()
}

fn deleting(uid: &str, grace_seconds: i64) -> Pod {
    let more = serde_json::json!({
        "deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": grace_seconds});
    api_pod(uid, more, "Running")
}

fn pod(name: &str, uid: &str) -> Pod {
    serde_json::from_value(serde_json::json!({
        "metadata": {"name": name, "namespace": "default", "uid": uid, "annotations": {"kubernetes.io/config.source": "file"}},
        "spec": {"containers": [{"name": "c"}]},
    }))
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_pod_runs_until_it_is_removed() {
    let mut bed = Bed::new(Script::default());
    let a = pod("a", "1");
    bed.set(a.clone()).await;
    bed.until(&["sync 1"]).await;
    bed.remove(&a).await;
    bed.until(&["sync 1", "stop(None) 1", "remove 1", "forget 1"]).await;
    bed.table.wait_for(|table| table.pods.is_empty()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn waking_one_pod_syncs_it_at_once_and_no_other() {
    let mut bed = Bed::new(Script::default());
    bed.set(pod("a", "1")).await;
    bed.set(pod("b", "2")).await;
    bed.until(&["sync 1"]).await;
    bed.until(&["sync 2"]).await;
    let begun = Instant::now();
    bed.table.borrow().pods["1"].cell.wake();
    bed.until(&["sync 1", "sync 1"]).await;
    assert_eq!((begun.elapsed(), bed.count("sync 2")), (Duration::ZERO, 1));
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_looked_at_with_each_resync_whatever_it_waits_for() {
    for (wanted, expected) in [(None, 60..=90), (Some(3600), 60..=90), (Some(5), 5..=5)] {
        let again_in = wanted.map(Duration::from_secs);
        let mut bed = Bed::new(Script { again_in, ..Script::default() });
        let start = Instant::now();
        bed.set(pod("a", "1")).await;
        bed.until(&["sync 1", "sync 1"]).await;
        let waited = start.elapsed().as_secs();
        assert!(expected.contains(&waited), "{wanted:?}: {waited}");
    }
}

#[tokio::test(start_paused = true)]
async fn waking_a_pod_that_is_cleaned_up_tries_that_again_at_once() {
    let mut bed = Bed::new(Script { dirty: ["u1".to_owned()].into(), ..Script::default() });
    let one = pod("one", "u1");
    bed.set(one.clone()).await;
    bed.until(&["sync u1"]).await;
    bed.remove(&one).await;
    bed.until(&["remove u1"]).await;
    bed.fake.script.lock().unwrap().dirty.clear();
    bed.table.borrow().pods[&PodUid::from("u1")].cell.wake();
    bed.until(&["remove u1", "remove u1", "forget u1"]).await;
}

#[tokio::test(start_paused = true)]
async fn removal_interrupts_a_hung_round_and_others_do_not_wait() {
    let mut bed = Bed::new(Script { hung: ["1".to_owned()].into(), ..Script::default() });
    let (a, b) = (pod("a", "1"), pod("b", "2"));
    bed.set(a.clone()).await;
    bed.until(&["sync 1"]).await;
    let begun = Instant::now();
    bed.set(b).await;
    bed.until(&["sync 2"]).await;
    bed.remove(&a).await;
    bed.until(&["stop(None) 1", "forget 1"]).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn pods_of_one_name_follow_one_another() {
    let mut bed = Bed::new(Script::default());
    let (old, new) = (pod("a", "1"), pod("a", "2"));
    bed.set(old.clone()).await;
    bed.set(new).await;
    bed.until(&["sync 1"]).await;
    bed.table.wait_for(|table| table.pods.len() == 2).await.unwrap();
    assert_eq!(*bed.table.borrow().pods["2"].cell.phase.borrow(), Phase::Queued);
    bed.remove(&old).await;
    bed.until(&["remove 1", "forget 1", "sync 2"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_comes_back_under_its_uid_starts_afresh() {
    let mut bed = Bed::new(Script::default());
    let a = pod("a", "1");
    bed.set(a.clone()).await;
    bed.until(&["sync 1"]).await;
    bed.remove(&a).await;
    bed.set(a).await;
    bed.until(&["stop(None) 1", "remove 1", "forget 1", "sync 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_ended_rests_until_its_source_drops_it() {
    let mut bed = Bed::new(Script { ended: ["1".to_owned()].into(), ..Script::default() });
    let a = pod("a", "1");
    bed.set(a.clone()).await;
    bed.until(&["sync 1", "stop(None) 1", "clean 1"]).await;
    let phase = bed.table.wait_for(|table| table.pods.contains_key("1")).await.unwrap().pods["1"]
        .cell
        .phase
        .subscribe();
    let mut phase = phase;
    phase.wait_for(|phase| *phase == Phase::Finished).await.unwrap();
    assert_eq!(bed.count("forget 1"), 0);
    bed.remove(&a).await;
    bed.until(&["clean 1", "remove 1", "forget 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_while_it_is_cleaned_up_is_removed_before_it_is_forgotten() {
    let mut bed = Bed::new(Script { dawdling: HashSet::from(["1".to_owned()]), ..Script::default() });
    let a = deleting("1", 5);
    bed.set(a.clone()).await;
    bed.until(&["stop(Some(5)) 1", "clean 1"]).await;
    bed.remove(&a).await;
    bed.until(&["forget 1"]).await;
    bed.until(&["clean 1", "remove 1", "forget 1"]).await;
    assert!(bed.table.borrow().pods.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_there_is_of_a_refused_pod_is_taken_away() {
    let one = || HashSet::from(["1".to_owned()]);
    let mut bed = Bed::new(Script { refused: one(), begun: one(), ..Script::default() });
    bed.set(pod("a", "1")).await;
    bed.set(pod("b", "2")).await;
    bed.until(&["admit 1 beside 0", "admit 2 beside 0"]).await;
    bed.until(&["stop(None) 1", "clean 1"]).await;
    let cell = Arc::clone(&bed.table.borrow().pods["1"].cell);
    assert_eq!(cell.ended.borrow().as_ref().unwrap().reason, "OutOfcpu");
    cell.phase.subscribe().wait_for(|phase| *phase == Phase::Finished).await.unwrap();
    bed.remove(&pod("a", "1")).await;
    bed.until(&["remove 1", "forget 1"]).await;
    assert_eq!(bed.count("sync 1"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_takes_up_no_room_while_it_is_removed() {
    let mut bed = Bed::new(Script { ended: ["1".to_owned()].into(), ..Script::default() });
    let a = pod("a", "1");
    bed.set(a.clone()).await;
    bed.until(&["clean 1"]).await;
    let cell = Arc::clone(&bed.table.borrow().pods["1"].cell);
    cell.phase.subscribe().wait_for(|phase| *phase == Phase::Finished).await.unwrap();
    bed.fake.script.lock().unwrap().slow.insert("1".to_owned());
    bed.remove(&a).await;
    bed.until(&["stop(None) 1", "stop(None) 1"]).await;
    bed.set(pod("b", "2")).await;
    bed.until(&["admit 2 beside 0"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_pod_is_shown_and_never_worked_on() {
    let mut bed = Bed::new(Script { refused: ["1".to_owned()].into(), ..Script::default() });
    let a = pod("a", "1");
    bed.set(a.clone()).await;
    let table = bed.table.wait_for(|table| table.pods.contains_key("1")).await.unwrap().clone();
    assert_eq!(table.pods["1"].cell.ended.borrow().as_ref().unwrap().reason, "OutOfcpu");
    bed.remove(&a).await;
    bed.until(&["forget 1"]).await;
    assert_eq!(bed.count("sync 1"), 0);
}

#[tokio::test(start_paused = true)]
async fn orphans_are_stopped_only_when_every_source_was_seen() {
    let mut bed = Bed::new(Script::default());
    let (known, orphan) = (pod("a", "1"), pod("b", "2"));
    bed.runtime.send_replace(Some(Arc::new([PodRef::of(&known), PodRef::of(&orphan)].into())));
    bed.set(known).await;
    bed.until(&["sync 1"]).await;
    assert_eq!(bed.count("stop(Some(1)) 2"), 0);
    bed.changes.send(PodChange::Seen { source: SourceKind::File, whole: true }).await.unwrap();
    bed.until(&["stop(Some(1)) 2", "remove 2", "forget 2"]).await;
    assert_eq!(bed.count("stop(Some(1)) 1"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_static_pod_is_left_alone_while_its_manifest_may_be_unreadable() {
    let mut bed = Bed::new(Script::default());
    let (fixed, other) = (pod("a-node", "1"), pod("b", "2"));
    bed.runtime.send_replace(Some(Arc::new([PodRef::of(&fixed), PodRef::of(&other)].into())));
    let seen = |whole| PodChange::Seen { source: SourceKind::File, whole };
    bed.changes.send(seen(false)).await.unwrap();
    bed.until(&["stop(Some(1)) 2", "remove 2", "forget 2"]).await;
    assert_eq!(bed.count("stop(Some(1)) 1"), 0);
    bed.changes.send(seen(true)).await.unwrap();
    bed.until(&["stop(Some(1)) 1", "remove 1", "forget 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_panics_starts_over() {
    let mut bed = Bed::new(Script { panics: ["1".to_owned()].into(), ..Script::default() });
    bed.set(pod("a", "1")).await;
    bed.until(&["sync 1", "sync 1"]).await;
    assert!(bed.fake.script.lock().unwrap().panics.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_admitted_before_the_runtime_was_asked_and_running_pods_come_first() {
    let mut bed = Bed::new(Script::default());
    bed.runtime.send_replace(None);
    let (new, running) = (pod("a", "1"), pod("b", "2"));
    bed.set(new).await;
    bed.set(running.clone()).await;
    bed.table.wait_for(|table| table.pods.len() == 2).await.unwrap();
    assert!(bed.journal.borrow().is_empty());
    bed.runtime.send_replace(Some(Arc::new([PodRef::of(&running)].into())));
    bed.until(&["sync 2", "sync 1"]).await;
}

impl Bed {
    async fn until_phase(&mut self, uid: &str, wanted: Phase) {
        let table = self.table.wait_for(|table| table.pods.contains_key(uid)).await.unwrap().clone();
        let mut phase = table.pods[uid].cell.phase.subscribe();
        phase.wait_for(|phase| *phase == wanted).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_the_server_deletes_rests_until_its_object_is_gone() {
    let mut bed = Bed::new(Script { slow: ["1".to_owned()].into(), ..Script::default() });
    bed.set(api_pod("1", serde_json::Value::Null, "Pending")).await;
    bed.until(&["sync 1"]).await;
    bed.set(deleting("1", 30)).await;
    bed.until(&["sync 1", "stop(Some(30)) 1"]).await;
    // Somebody is in a hurry.
    bed.fake.script.lock().unwrap().slow.clear();
    bed.set(deleting("1", 5)).await;
    bed.until(&["stop(Some(30)) 1", "stop(Some(5)) 1", "clean 1"]).await;
    bed.until_phase("1", Phase::Finished).await;
    let table = bed.table.borrow().clone();
    assert!(types::pod::is_deleting(table.pods["1"].target.pod().unwrap()));
    // Its status is written, and then its object goes.
    bed.set(deleting("1", 5)).await;
    bed.remove(&deleting("1", 5)).await;
    bed.until(&["clean 1", "remove 1", "forget 1"]).await;
    assert_eq!(bed.count("sync 1"), 1, "nothing of it is started again");
}

#[tokio::test(start_paused = true)]
async fn what_ended_or_is_deleted_is_not_asked_whether_it_may_run() {
    let refused = ["1".to_owned(), "2".to_owned()].into();
    let ended = ["2".to_owned()].into();
    let mut bed = Bed::new(Script { refused, ended, ..Script::default() });
    bed.set(deleting("1", 30)).await;
    bed.set(api_pod("2", serde_json::Value::Null, "Succeeded")).await;
    bed.until(&["stop(Some(30)) 1", "clean 1"]).await;
    bed.until(&["sync 2", "stop(None) 2", "clean 2"]).await;
    bed.until_phase("2", Phase::Finished).await;
    assert_eq!(bed.journal.borrow().iter().filter(|line| line.starts_with("admit")).count(), 0);
    bed.set(api_pod("3", serde_json::Value::Null, "Pending")).await;
    bed.until(&["admit 3 beside 0"]).await;
}

#[tokio::test(start_paused = true)]
async fn others_make_way_and_are_shown_as_failed() {
    let needs_place_of = [("2".to_owned(), "1".to_owned())].into();
    let mut bed = Bed::new(Script { needs_place_of, slow: ["1".to_owned()].into(), ..Script::default() });
    bed.set(api_pod("1", serde_json::Value::Null, "Pending")).await;
    bed.until(&["sync 1"]).await;
    bed.set(pod("critical", "2")).await;
    bed.until(&["admit 2 beside 1", "stop(None) 1"]).await;
    bed.until_phase("2", Phase::Queued).await;
    // It is updated meanwhile, which does not make it run again.
    bed.set(api_pod("1", serde_json::json!({"labels": {"l": "1"}}), "Running")).await;
    assert_eq!(bed.count("sync 2"), 0);
    bed.fake.script.lock().unwrap().slow.clear();
    bed.set(deleting("1", 1)).await;
    bed.until(&["stop(Some(1)) 1", "admit 2 beside 0", "sync 2"]).await;
    bed.until_phase("1", Phase::Finished).await;
    let table = bed.table.borrow().clone();
    assert_eq!(table.pods["1"].cell.ended.borrow().as_ref().unwrap().reason, "Preempting");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_deleted_waits_for_nobody_to_make_way() {
    let needs_place_of = [("2".to_owned(), "1".to_owned())].into();
    let mut bed = Bed::new(Script { needs_place_of, slow: ["1".to_owned()].into(), ..Script::default() });
    bed.set(api_pod("1", serde_json::Value::Null, "Pending")).await;
    bed.set(api_pod("2", serde_json::Value::Null, "Pending")).await;
    bed.until_phase("2", Phase::Queued).await;
    bed.set(deleting("2", 30)).await;
    bed.until(&["stop(Some(30)) 2", "clean 2"]).await;
    assert_eq!(bed.count("sync 2"), 0);
}

#[tokio::test(start_paused = true)]
async fn admission_may_look_before_it_refuses() {
    let unsure = ["1".to_owned(), "2".to_owned()].into();
    let mut bed = Bed::new(Script { unsure, refused: ["2".to_owned()].into(), ..Script::default() });
    bed.set(api_pod("1", serde_json::Value::Null, "Pending")).await;
    bed.set(api_pod("2", serde_json::Value::Null, "Pending")).await;
    bed.set(api_pod("3", serde_json::Value::Null, "Pending")).await;
    bed.until(&["look 1", "admit 1 beside 1", "sync 1"]).await;
    bed.until(&["look 2", "admit 2 beside 2"]).await;
    bed.until_phase("2", Phase::Finished).await;
    assert_eq!(bed.count("sync 2"), 0);
}
