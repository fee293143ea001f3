//! The task on a paused clock, with commands that do as the test says.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use task::cell::{Phase, PodCell};
use task::events::Recorder;
use telemetry::metrics::Registry;
use testkit::pod::pod;
use tokio::sync::mpsc;
use tokio::time::timeout;
use types::{ContainerId, ContainerState, ObservedContainer, ObservedPod, Pod, Verdict};

use super::*;
use crate::exec::{ExecError, Ran};
use crate::group::Stage;
use crate::metrics::Metrics;
use crate::prober::{Options, Prober};
use crate::seen::Seen;

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(10_000);

/// Commands that take as long as their second word says, in seconds, and do as their first one says.
#[derive(Clone, Default)]
struct Commands {
    begun: Arc<Mutex<Vec<(String, Duration)>>>,
    at_once: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    origin: Option<Instant>,
}

impl Exec for Commands {
    async fn exec(&self, id: &ContainerId, command: Vec<String>, _: Duration) -> Result<Ran, ExecError> {
        let at = self.origin.unwrap().elapsed();
        self.begun.lock().unwrap().push((id.to_string(), at));
        self.most.fetch_max(self.at_once.fetch_add(1, Relaxed) + 1, Relaxed);
        tokio::time::sleep(Duration::from_secs_f64(command[1].parse().unwrap())).await;
        self.at_once.fetch_sub(1, Relaxed);
        match command[0].as_str() {
            "true" => Ok(Ran::Ended { code: 0, output: Vec::new() }),
            "false" => Ok(Ran::Ended { code: 1, output: b"no".to_vec() }),
            "panic" => panic!("a slip in the code"),
            _ => Err(ExecError("away".to_owned())),
        }
    }
}

struct Rig {
    prober: Prober,
    registry: Registry,
    commands: Commands,
    events: mpsc::Receiver<Event>,
    cells: BTreeMap<String, Arc<PodCell>>,
}

fn rig(commands: usize) -> Rig {
    let (recorder, events) = Recorder::channel(1000);
    let registry = Registry::new();
    let (prober, wheel) = Prober::new(Options { commands }, recorder, Metrics::register(&registry));
    let commands = Commands { origin: Some(Instant::now()), ..Commands::default() };
    tokio::spawn(wheel.run(commands.clone()));
    Rig { prober, registry, commands, events, cells: BTreeMap::new() }
}

fn probed(name: &str, container: &Value) -> Arc<Pod> {
    pod(name).container("main", &["run"]).with_container("main", container).build()
}

fn exec(command: &[&str], more: Value) -> Value {
    let mut probe = json!({"exec": {"command": command}});
    probe.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    probe
}

/// The container runs, since so many seconds.
fn running(pod: &Pod, since: i64) -> Arc<ObservedPod> {
    let pod_ref = PodRef::of(pod);
    let container = ObservedContainer {
        id: format!("{}.main", pod_ref.name.name).into(),
        name: "main".into(),
        sandbox: "s".into(),
        state: ContainerState::Running { started_at: Timestamp::now() - SignedDuration::from_secs(since) },
        created_at: Timestamp::now(),
        image: String::new(),
        image_ref: String::new(),
        image_id: String::new(),
        hash: String::new(),
        restart_count: 0,
        log_path: "/log".to_owned(),
        mounts: Vec::new(),
        user: None,
        resources: None,
        annotations: Arc::default(),
    };
    Arc::new(ObservedPod { containers: vec![container], ..ObservedPod::absent(pod_ref) })
}

impl Rig {
    fn see(&mut self, pod: &Arc<Pod>, observed: &Arc<ObservedPod>) -> Arc<PodCell> {
        let pod_ref = PodRef::of(pod);
        let new = || Arc::new(PodCell::new(pod_ref.clone(), Phase::Running));
        let cell = Arc::clone(self.cells.entry(pod_ref.name.name.to_string()).or_insert_with(new));
        let stage = Stage::Running;
        self.prober.see(&Seen { pod, cell: &cell, observed, node_ip: None, last: None, stage });
        cell
    }

    async fn event(&mut self) -> String {
        let event = timeout(DEADLINE, self.events.recv()).await.expect("an event").unwrap();
        format!("{} {} {}", event.reason, event.field_path.unwrap(), event.message)
    }

    fn begun(&self, pod: &str) -> Vec<u64> {
        let begun = self.commands.begun.lock().unwrap();
        let of_pod = begun.iter().filter(|(id, _)| *id == format!("{pod}.main"));
        of_pod.map(|(_, at)| at.as_secs()).collect()
    }
}

async fn until(cell: &PodCell, seen: impl Fn(Verdict, bool) -> bool) {
    let mut probes = cell.probes.subscribe();
    let seen = probes.wait_for(|probes| {
        let verdict = probes.verdicts.values().next().copied().unwrap_or_default();
        seen(verdict, probes.awaited)
    });
    timeout(DEADLINE, seen).await.expect("seen in time").unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_found_is_in_the_cell_the_events_and_the_metrics() {
    let mut rig = rig(4);
    let web = probed(
        "web",
        &json!({
            "readinessProbe": exec(&["true", "0.3"], json!({"periodSeconds": 10})),
            "livenessProbe": exec(&["false", "0.3"], json!({"periodSeconds": 2, "failureThreshold": 2})),
        }),
    );
    let cell = rig.see(&web, &running(&web, 0));
    until(&cell, |verdict, _| verdict.readiness == Some(true)).await;
    until(&cell, |verdict, _| verdict.liveness == Some(false)).await;
    for _ in 0..2 {
        assert_eq!(rig.event().await, "Unhealthy spec.containers{main} Liveness probe failed: no");
    }
    let shown = rig.registry.encode();
    let uid = testkit::pod::uid("web");
    let labels = format!("namespace=\"default\",pod=\"web\",pod_uid=\"{uid}\"");
    for line in [
        format!("prober_probe_total{{container=\"main\",{labels},probe_type=\"Liveness\",result=\"failed\"}} 2\n"),
        format!("prober_probe_total{{container=\"main\",{labels},probe_type=\"Readiness\",result=\"successful\"}} 1\n"),
        "prober_probe_duration_seconds_sum{container=\"main\",namespace=\"default\",pod=\"web\",probe_type=\"Readiness\"} 0.3"
            .to_owned(),
        "berth_probe_lateness_seconds_count{probe_type=\"Liveness\"} 2\n".to_owned(),
    ] {
        assert!(shown.contains(&line), "{line}: {shown}");
    }
    let troubles = rig.prober.troubles(&cell.pod.uid);
    assert_eq!(troubles.len(), 1, "{troubles:?}");
    assert_eq!(troubles[0].reason, "Unhealthy");
    assert_eq!(troubles[0].message, "Liveness probe failed: no (2 in a row)");

    rig.prober.forget(&cell.pod.uid);
    let before = rig.begun("web");
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(rig.begun("web"), before, "nobody is asked any more");
    let shown = rig.registry.encode();
    assert!(!shown.contains("pod=\"web\""), "{shown}");
    assert!(rig.prober.troubles(&cell.pod.uid).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_container_that_ended_for_good_leaves_no_series() {
    let mut rig = rig(4);
    let job = pod("job").container("main", &["run"]).restart_policy("Never");
    let job = job.with_container("main", &json!({"readinessProbe": exec(&["true", "0"], json!({}))})).build();
    let observed = running(&job, 0);
    let cell = rig.see(&job, &observed);
    until(&cell, |verdict, _| verdict.readiness == Some(true)).await;
    assert!(rig.registry.encode().contains("pod=\"job\""));
    let mut ended = (*observed).clone();
    ended.containers[0].state = ContainerState::Exited(types::observed::Exit {
        code: 0,
        reason: "Completed".to_owned(),
        message: String::new(),
        started_at: None,
        finished_at: Timestamp::now(),
    });
    rig.see(&job, &Arc::new(ended));
    assert!(!rig.registry.encode().contains("pod=\"job\""));
    assert!(cell.probes.borrow().verdicts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_delays_no_other() {
    let mut rig = rig(1);
    let probe = |seconds| json!({"readinessProbe": exec(&["true", seconds], json!({"periodSeconds": 5}))});
    let hangs = probed("hangs", &probe("1000"));
    let web = probed("web", &probe("0"));
    rig.see(&hangs, &running(&hangs, 0));
    let cell = rig.see(&web, &running(&web, 0));
    until(&cell, |verdict, _| verdict.readiness == Some(true)).await;
    tokio::time::sleep(Duration::from_secs(22)).await;
    assert_eq!(rig.begun("web"), [0, 5, 10, 15, 20]);
    assert_eq!(rig.begun("hangs"), [0], "it is asked again when it has answered");
    let troubles = rig.prober.troubles(&rig.cells["hangs"].pod.uid);
    assert_eq!(troubles[0].reason, "ProbeHangs");
    // Either of the two may have had the place first, and the other half a second later.
    assert!(troubles[0].message.starts_with("Readiness probe has run for 22."), "{}", troubles[0].message);
}

#[tokio::test(start_paused = true)]
async fn so_many_commands_are_started_at_once() {
    let mut rig = rig(3);
    for n in 0..30 {
        let name = format!("web-{n}");
        let web =
            probed(&name, &json!({"readinessProbe": exec(&["true", "0.4"], json!({"periodSeconds": 100}))}));
        rig.see(&web, &running(&web, 0));
    }
    for cell in rig.cells.values() {
        until(cell, |verdict, _| verdict.readiness == Some(true)).await;
    }
    assert_eq!(rig.commands.most.load(Relaxed), 3);
    // The last ones waited for nine others before them, and say so.
    let troubles = rig.cells.values().flat_map(|cell| rig.prober.troubles(&cell.pod.uid));
    let late: Vec<_> = troubles.map(|trouble| format!("{} {}", trouble.reason, trouble.message)).collect();
    assert!((18..=21).contains(&late.len()), "{late:#?}");
    assert_eq!(late.iter().max().unwrap(), "ProbeLate Readiness probe began 3.6 s late");
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_what_is_not_known_is_asked_within_a_second() {
    let mut rig = rig(4);
    let probe = exec(&["true", "0"], json!({"periodSeconds": 600}));
    let web = probed("web", &json!({"startupProbe": probe, "readinessProbe": probe}));
    let cell = rig.see(&web, &running(&web, 1000));
    assert!(cell.probes.borrow().awaited);
    let begun = Instant::now();
    until(&cell, |verdict, awaited| verdict.readiness == Some(true) && !awaited).await;
    assert!(begun.elapsed() <= Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_panic_and_an_error_are_told_and_mean_nothing() {
    let mut rig = rig(4);
    for (command, text) in [("panic", "the attempt panicked"), ("error", "away")] {
        let probe = exec(&[command, "0"], json!({"periodSeconds": 5, "failureThreshold": 1}));
        let web = probed(command, &json!({"livenessProbe": probe}));
        let cell = rig.see(&web, &running(&web, 0));
        for _ in 0..3 {
            let expected = format!(
                "Unhealthy spec.containers{{main}} Liveness probe errored and resulted in unknown state: {text}"
            );
            assert_eq!(rig.event().await, expected);
        }
        assert_eq!(cell.probes.borrow().verdicts.values().next().unwrap().liveness, None);
        rig.prober.forget(&cell.pod.uid);
    }
    assert_eq!(rig.begun("panic").len(), 3);
    assert_eq!(rig.begun("error").len(), 9, "tried three times each");
}

#[tokio::test(start_paused = true)]
async fn pods_without_probes_take_nothing() {
    let mut rig = rig(4);
    let web = probed("web", &json!({}));
    let cell = rig.see(&web, &running(&web, 0));
    assert_eq!(**cell.probes.borrow(), types::Probes::default());
    rig.prober.forget(&cell.pod.uid);
    assert_eq!(rig.prober.troubles(&cell.pod.uid), []);
}
