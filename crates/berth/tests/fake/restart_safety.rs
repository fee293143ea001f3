//! berth is killed at random instants, with pods in every state of their life: nothing that is healthy notices.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::fake::{ExecAnswer, Fault, Match, Script, Store};
use testkit::pod::{PodBuilder, pod};
use tokio::time::Instant;

use crate::dice::Dice;
use crate::rig::{Rig, container, full, is_ready};

/// Kills of one storm; the storms together make more than 200.
const KILLS: u64 = 26;
/// The first delay of a crash loop, and the second, in seconds.
const BACK_OFF: [u64; 2] = [10, 30];

/// Pods that are put and removed during a storm, and what has to be there after it.
#[derive(Default)]
struct Churn {
    made: u64,
    wanted: BTreeSet<String>,
    removed: BTreeSet<String>,
}

impl Churn {
    fn add(&mut self, rig: &Rig, dice: &mut Dice) {
        self.made += 1;
        let name = format!("churn-{}", self.made);
        let hook = json!({"lifecycle": {"postStart": {"exec": {"command": ["warm-up"]}}}});
        rig.put(&match dice.roll(3) {
            0 => pod(&name),
            1 => pod(&name).init_container("quick", &["true"]).sidecar("proxy", &["nc"]),
            _ => pod(&name).container("main", &["run"]).with_container("main", &hook),
        });
        self.wanted.insert(name);
    }

    fn remove(&mut self, rig: &Rig, dice: &mut Dice) {
        let nth = usize::try_from(dice.roll(self.wanted.len().max(1) as u64)).unwrap();
        if let Some(name) = self.wanted.iter().nth(nth).cloned() {
            rig.remove(&name);
            self.wanted.remove(&name);
            self.removed.insert(name);
        }
    }
}

fn steady() -> PodBuilder {
    let probe = json!({"exec": {"command": ["well"]}, "periodSeconds": 1, "failureThreshold": 1});
    let probes = json!({"startupProbe": probe, "readinessProbe": probe, "livenessProbe": probe});
    let pod = pod("steady").init_container("quick", &["true"]).sidecar("proxy", &["nc"]);
    pod.container("app", &["httpd"]).with_container("proxy", &probes).with_container("app", &probes)
}

/// What was done to the steady pod, without being asked how it is.
fn touched(rig: &Rig) -> Vec<String> {
    rig.journal("steady").into_iter().filter(|call| !call.starts_with("ExecSync")).collect()
}

fn versioned(version: u64) -> PodBuilder {
    pod("versioned").with_metadata(&json!({"labels": {"version": version.to_string()}}))
}

async fn storm(seed: u64) {
    let mut rig = Rig::prepare("").await;
    let mut dice = Dice(seed);
    let quick = Script { exits_at_once: Some(0), ..Script::default() };
    rig.runtime.script(None, "quick", quick);
    rig.runtime.script(Some("crash-node"), "main", Script { exits_at_once: Some(1), ..Script::default() });
    let slow = Script { stops_after: Duration::from_millis(80), ..Script::default() };
    rig.runtime.script(None, "main", slow);
    rig.runtime
        .on_exec(&["warm-up"], ExecAnswer { takes: Duration::from_millis(40), ..ExecAnswer::default() });
    for call in ["RunPodSandbox", "CreateContainer", "StartContainer", "PullImage"] {
        rig.runtime.set_latency(call, Duration::from_millis(3));
    }
    rig.launch();
    rig.put(&steady());
    rig.put(&pod("job").restart_policy("Never"));
    let crashing_since = Instant::now();
    rig.put(&pod("crash"));
    rig.put(&pod("lossy"));
    rig.put(&pod("again"));
    rig.put(&versioned(0));
    rig.put(&pod("waits").init_container("long", &["run"]));
    for name in ["steady", "job"] {
        rig.until_ready(name).await;
    }
    let begun = touched(&rig);

    let mut churn = Churn::default();
    let mut version = 0;
    for kill in 0..KILLS {
        for _ in 0..dice.roll(3) {
            churn.add(&rig, &mut dice);
        }
        if dice.roll(3) == 0 {
            churn.remove(&rig, &mut dice);
        }
        // Once: a container that ended again would wait out its back-off.
        if kill == KILLS / 3 {
            rig.runtime.kill_sandbox("lossy-node");
        }
        if dice.roll(4) == 0 {
            version += 1;
            rig.put(&versioned(version));
        }
        if dice.roll(4) == 0 {
            rig.remove("again");
            // Sometimes berth sees that it was away, sometimes not.
            let patience = Duration::from_millis(dice.roll(30));
            let stops =
                |store: &Store| store.journal_of("again-node").last().is_some_and(|c| c.starts_with("Stop"));
            let _ = rig.runtime.wait_for("it is being stopped", patience, stops).await;
            rig.put(&pod("again"));
        }
        if kill == KILLS / 2 {
            rig.runtime.exit_container("job-node", "main", 0);
        }
        // A number of calls from now, or a time from now, whichever comes first: then it dies.
        let target =
            rig.runtime.read(|store| store.journal().len()) + usize::try_from(dice.roll(60)).unwrap();
        let patience = Duration::from_millis(20 + dice.roll(200));
        let _ = rig.runtime.wait_for("calls", patience, |store| store.journal().len() >= target).await;
        rig.kill();
        rig.launch();
    }

    for name in ["steady", "lossy", "again"] {
        rig.until_ready(name).await;
    }
    let version = version.to_string();
    let newest = |pod: &Value| is_ready(pod) && pod["metadata"]["labels"]["version"] == version;
    rig.until_pod("versioned", "the newest one", newest).await;
    rig.until_store("one sandbox each", |store| {
        let ready = |name: &str| store.sandboxes(&full(name)).iter().filter(|sandbox| sandbox.ready).count();
        ["steady", "lossy", "again", "versioned"].into_iter().all(|name| ready(name) == 1)
    })
    .await;
    assert_eq!(touched(&rig), begun, "seed {seed}: a healthy pod was touched");
    let done = rig.until_phase("job", "Succeeded").await;
    assert_eq!(container(&done, "main")["restartCount"], 0);
    assert_eq!(rig.runtime.starts("job-node", "main"), 1, "seed {seed}");
    for name in &churn.wanted {
        rig.until_ready(name).await;
        assert_eq!(rig.runtime.starts(&full(name), "main"), 1, "seed {seed}: {name}");
    }
    for name in &churn.removed {
        rig.until_gone(name).await;
    }
    rig.until_why("waits", "still initializes", |why| why["step"] == "Init").await;
    assert_eq!(rig.runtime.starts("waits-node", "long"), 1, "seed {seed}");
    rig.runtime.exit_container("waits-node", "long", 0);
    rig.until_ready("waits").await;

    // What is shown and what is there are not of the same moment: between the two it may start again.
    let counted = |pod: &Value| in_back_off(pod) && rig.runtime.read(|store| is_counted(store, pod));
    rig.until_pod("crash", "in back-off, with each start counted", counted).await;
    let seconds = crashing_since.elapsed().as_secs();
    let due = 2 + BACK_OFF.iter().filter(|delay| **delay <= seconds + 1).count() as u64;
    let starts = rig.runtime.starts("crash-node", "main");
    assert!((2..=due).contains(&starts), "seed {seed}: {starts} starts in {seconds} s");
    rig.assert_proper();
}

fn in_back_off(pod: &Value) -> bool {
    container(pod, "main")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
}

/// Whether the restart count that is shown is that of the newest instance, and no start is missing from it.
fn is_counted(store: &Store, pod: &Value) -> bool {
    let newest = store.container("crash-node", "main").unwrap();
    container(pod, "main")["restartCount"] == newest.attempt()
        && u64::from(newest.attempt()) + 1 >= store.starts("crash-node", "main")
}

#[tokio::test]
async fn storm_1() {
    storm(1).await;
}

#[tokio::test]
async fn storm_2() {
    storm(2).await;
}

#[tokio::test]
async fn storm_3() {
    storm(3).await;
}

#[tokio::test]
async fn storm_4() {
    storm(4).await;
}

#[tokio::test]
async fn storm_5() {
    storm(5).await;
}

#[tokio::test]
async fn storm_6() {
    storm(6).await;
}

#[tokio::test]
async fn storm_7() {
    storm(7).await;
}

#[tokio::test]
async fn storm_8() {
    storm(8).await;
}

#[tokio::test]
async fn a_restart_changes_nothing_that_is_shown() {
    let mut rig = Rig::start().await;
    rig.runtime.script(None, "quick", Script { exits_at_once: Some(0), ..Script::default() });
    rig.runtime.script(Some("crash-node"), "main", Script { exits_at_once: Some(1), ..Script::default() });
    rig.put(&steady());
    rig.put(&pod("job").container("quick", &["true"]).restart_policy("Never"));
    let shown = |pod: &Value| {
        let mut status = pod["status"].clone();
        // When the node first saw the pod, and when a condition came about, are not in the runtime.
        status["startTime"].take();
        // Nor is the address of a pod that has none any more.
        if status["phase"] == "Succeeded" {
            status["podIP"].take();
            status["podIPs"].take();
        }
        for condition in status["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastTransitionTime"].take();
        }
        status
    };
    let [steady, job] =
        [rig.until_ready("steady").await, rig.until_phase("job", "Succeeded").await].map(|pod| shown(&pod));
    rig.until_store("the job's sandbox stops", |store| store.sandboxes("job-node").iter().all(|s| !s.ready))
        .await;
    // Ten seconds later it starts again: it comes last, and is looked at first.
    rig.put(&pod("crash"));
    let crash = shown(&rig.until_pod("crash", "in back-off", in_back_off).await);
    rig.runtime.clear_journal();
    rig.kill();
    rig.launch();
    for (name, before) in [("crash", crash), ("steady", steady), ("job", job)] {
        rig.until_pod(name, &format!("as it was: {before:#}"), |pod| shown(pod) == before).await;
        // The network of a sandbox that is not ready may still be there.
        let done = rig.journal(name).into_iter().filter(|call| name != "job" || call != "StopPodSandbox");
        let done = done.filter(|call| !call.starts_with("ExecSync"));
        assert_eq!(done.collect::<Vec<_>>(), [""; 0], "{name}");
    }
    rig.assert_proper();
}

#[tokio::test]
async fn back_off_outlives_berth() {
    let mut rig = Rig::prepare("crashLoopBackOff:\n  maxContainerRestartPeriod: 1s\n").await;
    rig.runtime.script(None, "main", Script { exits_at_once: Some(1), ..Script::default() });
    rig.launch();
    rig.put(&pod("crash"));
    for starts in 2..5 {
        // On a machine that is busy a second may have gone by before it was killed.
        rig.until_store("it starts", |store| store.starts("crash-node", "main") >= starts).await;
        rig.until_pod("crash", "in back-off", in_back_off).await;
        rig.kill();
        rig.launch();
    }
    rig.runtime.read(|store| {
        let starts = store.journal().iter().filter(|call| call.call == "StartContainer").map(|call| call.at);
        let starts: Vec<_> = starts.collect();
        for pair in starts[1..].windows(2) {
            let pause = pair[1] - pair[0];
            assert!(pause >= Duration::from_millis(950), "started again after {pause:?}");
        }
    });
    rig.assert_proper();
}

#[tokio::test]
async fn told_to_stop_it_leaves_everything_running() {
    let mut rig = Rig::start().await;
    rig.put(&pod("web"));
    rig.put(&pod("starts"));
    let _hang = rig.runtime.fault(Match::call("RunPodSandbox").pod("starts-node"), Fault::Hang);
    rig.until_ready("web").await;
    rig.until_why("starts", "hangs", |why| why["step"] == "Sandbox").await;
    rig.runtime.clear_journal();
    let status = rig.terminate().await;
    assert!(status.success(), "{status}");
    assert_eq!(rig.journal("web"), [""; 0]);
    assert!(rig.runtime.read(|store| store.is_running("web-node", "main")));
}

#[tokio::test]
async fn told_to_stop_in_its_first_moments_it_ends_well() {
    let mut rig = Rig::prepare("").await;
    // Nothing answers yet, so that it is told in the middle of its start.
    let _hang = rig.runtime.fault(Match::call("Version"), Fault::Hang);
    for _ in 0..10 {
        rig.launch();
        rig.until_log("berth starts").await;
        let status = rig.terminate().await;
        assert!(status.success(), "{status}");
        rig.forget_log();
    }
}

#[tokio::test]
async fn what_was_removed_meanwhile_is_stopped_and_what_was_added_is_started() {
    let mut rig = Rig::start().await;
    for name in ["goes", "stays"] {
        rig.put(&pod(name));
        rig.until_ready(name).await;
    }
    rig.kill();
    rig.remove("goes");
    rig.put(&pod("comes"));
    rig.launch();
    rig.until_ready("comes").await;
    rig.until_gone("goes").await;
    rig.until_pod("stays", "ready", is_ready).await;
    assert_eq!(rig.runtime.starts("stays-node", "main"), 1);
    rig.assert_proper();
}

#[tokio::test]
async fn nothing_is_stopped_before_the_manifests_have_been_read() {
    let mut rig = Rig::start().await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    rig.kill();
    // A directory that cannot be read is not an empty one.
    let (here, away) = (rig.manifests(), rig.manifests().with_extension("away"));
    std::fs::rename(&here, &away).unwrap();
    std::fs::write(&here, "not a pod").unwrap();
    rig.launch();
    rig.until_problems("the manifest", |all| all[0]["reason"] == "Malformed" || all[0]["reason"].is_string())
        .await;
    std::fs::remove_file(&here).unwrap();
    std::fs::rename(&away, &here).unwrap();
    rig.until_ready("web").await;
    rig.assert_proper();
}
