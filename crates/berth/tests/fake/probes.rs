//! Probes decide who is ready and who is started again.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::fake::ExecAnswer;
use testkit::pod::{PodBuilder, pod};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api_server::ApiRig;
use crate::exposition;
use crate::rig::{DEADLINE, Rig, condition, container, is_ready};

/// A probe that runs `command` every second and believes its first answer.
fn exec(command: &str) -> Value {
    json!({"exec": {"command": [command]}, "periodSeconds": 1, "failureThreshold": 1})
}

fn probed(name: &str, probes: &Value) -> PodBuilder {
    pod(name).container("main", &["run"]).with_container("main", probes)
}

/// From now on `command` fails, or does not.
fn set(rig: &Rig, command: &str, exit_code: i32) {
    let stderr = if exit_code == 0 { Vec::new() } else { format!("{command} is not so").into_bytes() };
    rig.runtime.on_exec(&[command], ExecAnswer { exit_code, stderr, ..ExecAnswer::default() });
}

fn events(why: &Value) -> String {
    why["events"].to_string()
}

#[tokio::test]
async fn readiness_comes_and_goes() {
    let rig = Rig::start().await;
    set(&rig, "ready", 1);
    rig.put(&probed("web", &json!({"readinessProbe": exec("ready")})));
    let unready = rig
        .until_pod("web", "running and not ready", |pod| {
            container(pod, "main")["state"]["running"].is_object() && !is_ready(pod)
        })
        .await;
    assert_eq!(container(&unready, "main")["ready"], false);
    assert_eq!(container(&unready, "main")["started"], true);
    assert_eq!(condition(&unready, "Ready")["reason"], "ContainersNotReady");
    let why = rig.until_why("web", "the failure", |why| events(why).contains("Unhealthy")).await;
    assert!(events(&why).contains("Warning Unhealthy: Readiness probe failed: ready is not so"), "{why:#}");
    let failure = &why["failures"][0];
    assert_eq!((&failure["container"], &failure["reason"]), (&json!("main"), &json!("Unhealthy")));
    assert!(why["advice"].as_str().unwrap().contains("probe"), "{why:#}");

    set(&rig, "ready", 0);
    let ready = rig.until_ready("web").await;
    assert_eq!(container(&ready, "main")["ready"], true);
    let why = rig.until_why("web", "no failure", |why| why["failures"].is_null()).await;
    assert_eq!(why["advice"], "Nothing holds it up.");

    set(&rig, "ready", 1);
    rig.until_pod("web", "not ready any more", |pod| !is_ready(pod)).await;
    assert_eq!(rig.runtime.starts("web-node", "main"), 1, "it is not started again for that");
    rig.assert_proper();
}

#[tokio::test]
async fn a_container_that_is_not_alive_is_started_again() {
    let rig = Rig::start().await;
    rig.put(&probed("web", &json!({"livenessProbe": exec("alive"), "readinessProbe": exec("ready")})));
    rig.put(&probed("other", &json!({})));
    rig.until_ready("web").await;
    rig.until_ready("other").await;
    set(&rig, "alive", 1);
    rig.until_store("started again", |store| store.starts("web-node", "main") == 2).await;
    set(&rig, "alive", 0);
    // In one step: nothing is asked and nothing waited for in between.
    let journal = rig.journal("web");
    let stop = journal.iter().position(|call| call == "StopContainer main").expect("it was stopped");
    let next: Vec<_> = journal[stop..].iter().filter(|call| !call.starts_with("ExecSync")).take(3).collect();
    assert_eq!(next, ["StopContainer main", "CreateContainer main", "StartContainer main"]);
    let again = rig
        .until_pod("web", "ready again", |pod| is_ready(pod) && container(pod, "main")["restartCount"] == 1)
        .await;
    assert_eq!(container(&again, "main")["lastState"]["terminated"]["exitCode"], 143);
    let why = rig.why("web").await;
    for event in [
        "Warning Unhealthy: Liveness probe failed: alive is not so",
        "Normal Killing: Container main failed liveness probe, will be restarted",
    ] {
        assert!(events(&why).contains(event), "{event}: {why:#}");
    }
    assert_eq!(rig.runtime.starts("other-node", "main"), 1);
    rig.assert_proper();
}

#[tokio::test]
async fn startup_holds_back_the_others() {
    let rig = Rig::start().await;
    set(&rig, "begun", 1);
    set(&rig, "ready", 1);
    set(&rig, "alive", 1);
    let mut startup = exec("begun");
    startup["failureThreshold"] = json!(1000);
    let probes =
        json!({"startupProbe": startup, "readinessProbe": exec("ready"), "livenessProbe": exec("alive")});
    rig.put(&probed("web", &probes));
    let why = rig.until_why("web", "asked twice", |why| events(why).contains("(x2)")).await;
    assert!(events(&why).contains("Startup probe failed: begun is not so"), "{why:#}");
    for kind in ["Readiness", "Liveness"] {
        assert!(!events(&why).contains(kind), "nobody is to ask: {why:#}");
    }
    let waits = rig.pod("web").await;
    assert_eq!((&container(&waits, "main")["started"], is_ready(&waits)), (&json!(false), false));
    assert_eq!(rig.runtime.starts("web-node", "main"), 1);

    set(&rig, "alive", 0);
    set(&rig, "begun", 0);
    rig.until_pod("web", "started", |pod| container(pod, "main")["started"] == true).await;
    rig.until_why("web", "asked for readiness", |why| events(why).contains("Readiness probe failed")).await;
    set(&rig, "ready", 0);
    rig.until_ready("web").await;
    // Its startup probe asks no more.
    set(&rig, "begun", 1);
    rig.runtime.clear_journal();
    rig.until_store("asked on and on", |store| store.calls("ExecSync") >= 4).await;
    assert!(is_ready(&rig.pod("web").await));
    assert_eq!(rig.runtime.starts("web-node", "main"), 1);
    rig.assert_proper();
}

#[tokio::test]
async fn a_container_that_does_not_begin_is_started_again() {
    let rig = Rig::start().await;
    set(&rig, "begun", 1);
    rig.put(&probed("web", &json!({"startupProbe": exec("begun")})));
    rig.until_store("started again", |store| store.starts("web-node", "main") >= 2).await;
    set(&rig, "begun", 0);
    rig.until_ready("web").await;
    let why = rig.why("web").await;
    let event = "Normal Killing: Container main failed startup probe, will be restarted";
    assert!(events(&why).contains(event), "{why:#}");
    rig.assert_proper();
}

#[tokio::test]
async fn what_comes_after_a_sidecar_waits_until_it_has_begun() {
    let rig = Rig::start().await;
    set(&rig, "begun", 1);
    let mut startup = exec("begun");
    startup["failureThreshold"] = json!(1000);
    let probes = json!({"startupProbe": startup, "readinessProbe": exec("ready")});
    rig.put(
        &pod("web").sidecar("side", &["run"]).with_container("side", &probes).container("main", &["run"]),
    );
    rig.until_why("web", "asked twice", |why| events(why).contains("(x2)")).await;
    assert_eq!(rig.runtime.starts("web-node", "main"), 0);
    let waits = rig.pod("web").await;
    assert_eq!(condition(&waits, "Initialized")["status"], "False");
    set(&rig, "begun", 0);
    rig.until_ready("web").await;
    // Its readiness is the pod's.
    set(&rig, "ready", 1);
    let unready = rig.until_pod("web", "not ready", |pod| !is_ready(pod)).await;
    assert_eq!(container(&unready, "main")["ready"], true);
    let message = condition(&unready, "Ready")["message"].to_string();
    assert!(message.contains("[side]"), "{message}");
    rig.assert_proper();
}

#[tokio::test]
async fn readiness_is_told_to_the_end_and_liveness_is_not() {
    let rig = Rig::start().await;
    let drain = json!({"lifecycle": {"preStop": {"exec": {"command": ["drain"]}}}});
    rig.runtime.on_exec(&["drain"], ExecAnswer { takes: DEADLINE, ..ExecAnswer::default() });
    let probes = json!({"readinessProbe": exec("ready"), "livenessProbe": exec("alive")});
    rig.put(&probed("web", &probes).with_container("main", &drain).grace_period(3600));
    rig.until_ready("web").await;
    rig.remove("web");
    rig.until_why("web", "stops", |why| why["step"] == "Hook").await;
    set(&rig, "alive", 1);
    set(&rig, "ready", 1);
    rig.until_pod("web", "not ready", |pod| !pod.is_null() && !is_ready(pod)).await;
    let why = rig.why("web").await;
    assert!(!events(&why).contains("Liveness"), "{why:#}");
    assert_eq!(rig.runtime.starts("web-node", "main"), 1);
}

/// Asks for the pod until berth has had it probed after its restart, and fails if it was ever shown otherwise than `ready`.
async fn never_but(rig: &Rig, name: &str, ready: bool) {
    rig.runtime.clear_journal();
    let seen = |pod: &Value| {
        let shown = &condition(pod, "Ready")["status"];
        let expected = if ready { "True" } else { "False" };
        assert!(shown.is_null() || shown == expected, "{name} flipped: {pod:#}");
        !shown.is_null() && rig.runtime.calls("ExecSync") >= 3
    };
    rig.until_pod(name, "shown and probed", seen).await;
}

#[tokio::test]
async fn a_restart_of_berth_flips_nothing() {
    let mut rig = Rig::start().await;
    set(&rig, "unready", 1);
    let startup = exec("begun");
    let all =
        json!({"startupProbe": startup, "readinessProbe": exec("ready"), "livenessProbe": exec("alive")});
    rig.put(&probed("web", &all));
    rig.until_ready("web").await;
    rig.kill();
    rig.launch();
    never_but(&rig, "web", true).await;
    assert_eq!(rig.runtime.starts("web-node", "main"), 1);
    rig.remove("web");
    rig.until_gone("web").await;

    rig.put(&probed("down", &json!({"readinessProbe": exec("unready")})));
    rig.until_why("down", "probed", |why| events(why).contains("Readiness probe failed")).await;
    rig.kill();
    rig.launch();
    never_but(&rig, "down", false).await;
    // What comes then is believed.
    set(&rig, "unready", 0);
    rig.until_ready("down").await;
    rig.assert_proper();
}

#[tokio::test]
async fn api_readiness_gates_come_on_top_of_probes() {
    let bed = ApiRig::start().await;
    set(&bed.rig, "ready", 1);
    let gates = json!({"readinessGates": [{"conditionType": "example.com/lb"}]});
    bed.server.create(&probed("web", &json!({"readinessProbe": exec("ready")})).with_spec(&gates)).await;
    let says = json!({"status": {"conditions": [{"type": "example.com/lb", "status": "True"}]}});
    bed.server
        .until_pod("web", "running and not ready", |pod| {
            container(pod, "main")["state"]["running"].is_object()
                && condition(pod, "Ready")["reason"] == "ContainersNotReady"
        })
        .await;
    set(&bed.rig, "ready", 0);
    let waits = bed
        .server
        .until_pod("web", "waiting for its gate", |pod| {
            condition(pod, "Ready")["reason"] == "ReadinessGatesNotReady"
        })
        .await;
    assert_eq!(condition(&waits, "ContainersReady")["status"], "True");
    bed.server.patch("web", Some("status"), says).await;
    bed.server.until_ready("web").await;
    set(&bed.rig, "ready", 1);
    bed.server.until_pod("web", "not ready", |pod| condition(pod, "Ready")["status"] == "False").await;
    bed.server.until_event("Pod", "Unhealthy").await;
}

/// A web server of the test, which answers with what is in the channel.
async fn web_server() -> (u16, watch::Sender<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (answer, current) = watch::channel("200 OK");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                head.push(byte);
            }
            let answer = format!("HTTP/1.1 {}\r\n\r\n", *current.borrow());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, answer)
}

#[tokio::test]
async fn over_the_network() {
    let rig = Rig::start().await;
    let (port, answer) = web_server().await;
    // The pods of the fake runtime have addresses at which nobody is.
    let here = json!({"port": port, "host": "127.0.0.1"});
    let every_second = |action: &str| json!({action: here, "periodSeconds": 1, "failureThreshold": 1});
    rig.put(&probed("http", &json!({"readinessProbe": every_second("httpGet")})));
    rig.put(&probed("tcp", &json!({"readinessProbe": every_second("tcpSocket")})));
    rig.put(&probed("none", &json!({"readinessProbe": {"tcpSocket": {"port": 1, "host": "127.0.0.1"}}})));
    rig.until_ready("http").await;
    rig.until_ready("tcp").await;
    answer.send_replace("503 Service Unavailable");
    rig.until_pod("http", "not ready", |pod| !is_ready(pod)).await;
    rig.until_why("http", "the status", |why| {
        events(why).contains("Readiness probe failed: HTTP probe failed with statuscode: 503")
    })
    .await;
    answer.send_replace("302 Found\r\nLocation: http://elsewhere.example/");
    rig.until_ready("http").await;
    let why = rig.why("http").await;
    assert!(
        events(&why).contains("ProbeWarning: Readiness probe warning: Probe terminated redirects"),
        "{why:#}"
    );
    rig.until_why("none", "nobody answers", |why| {
        events(why).contains("Readiness probe failed: dial tcp 127.0.0.1:1: connect: connection refused")
    })
    .await;
    assert!(is_ready(&rig.pod("tcp").await));
}

#[tokio::test]
async fn a_command_that_hangs_is_told_and_delays_no_other() {
    let rig = Rig::start().await;
    let slow = ExecAnswer { takes: DEADLINE, ..ExecAnswer::default() };
    rig.runtime.on_exec(&["slow"], slow);
    for name in ["slow-1", "slow-2", "slow-3", "slow-4", "slow-5"] {
        rig.put(&probed(name, &json!({"readinessProbe": exec("slow")})));
    }
    rig.put(&probed("web", &json!({"readinessProbe": exec("ready")})));
    rig.until_ready("web").await;
    let why = rig.until_why("slow-5", "late", |why| events(why).contains("Unhealthy")).await;
    let expected = "Readiness probe failed: command timed out: \\\"slow\\\" timed out after 1s";
    assert!(why.to_string().contains(expected), "{why:#}");
    assert!(is_ready(&rig.pod("web").await));
}

const LABELS: &[&str] = &["container", "namespace", "pod", "pod_uid", "probe_type", "result"];

#[tokio::test]
async fn the_page_of_metrics() {
    let rig = Rig::start().await;
    rig.put(&probed("web", &json!({"readinessProbe": exec("ready"), "livenessProbe": exec("alive")})));
    rig.until_ready("web").await;
    let page = async || exposition::parse(&rig.ask("/metrics/probes").await.unwrap()).unwrap();
    let until = async |what: &str, seen: &dyn Fn(&str) -> bool| {
        let ask = async || rig.ask("/metrics/probes").await.unwrap_or_default().into();
        rig.until(what, DEADLINE, ask, |text| text.as_str().is_some_and(seen)).await
    };
    until("both counted", &|text| text.contains("Liveness") && text.contains("Readiness")).await;
    let families = page().await;
    let names: Vec<_> = families.keys().map(String::as_str).collect();
    let expected = [
        "berth_probe_lateness_seconds",
        "prober_probe_duration_seconds",
        "prober_probe_total",
        "process_start_time_seconds",
    ];
    assert_eq!(names, expected);
    let total = &families["prober_probe_total"];
    assert_eq!((total.kind.as_str(), total.stability.as_str()), ("counter", "BETA"));
    for sample in &total.samples {
        assert_eq!(sample.label_names(), LABELS);
        assert_eq!((sample.label("pod"), sample.label("result")), (Some("web-node"), Some("successful")));
    }
    let duration = &families["prober_probe_duration_seconds"];
    assert_eq!((duration.kind.as_str(), duration.stability.as_str()), ("histogram", "ALPHA"));
    assert_eq!(duration.samples[0].label_names(), ["container", "namespace", "pod", "probe_type"]);
    let bounds: Vec<_> = duration.samples.iter().filter_map(|sample| sample.label("le")).take(12).collect();
    assert_eq!(bounds.join(" "), "0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5 10 +Inf");
    rig.remove("web");
    until("the pod's series are gone", &|text| !text.contains("web-node")).await;
    rig.until_gone("web").await;
}

#[tokio::test]
async fn a_grace_period_of_the_probe() {
    let rig = Rig::start().await;
    // It does not end when it is asked to, so it is killed when its grace period is over.
    let script = testkit::fake::Script { stops_after: Duration::from_secs(3600), ..Default::default() };
    rig.runtime.script(None, "main", script);
    let mut liveness = exec("alive");
    liveness["terminationGracePeriodSeconds"] = json!(1);
    rig.put(&probed("web", &json!({"livenessProbe": liveness})).grace_period(3600));
    rig.until_ready("web").await;
    set(&rig, "alive", 1);
    rig.until_store("started again", |store| store.starts("web-node", "main") == 2).await;
    set(&rig, "alive", 0);
    let again = rig.until_pod("web", "again", |pod| container(pod, "main")["restartCount"] == 1).await;
    assert_eq!(container(&again, "main")["lastState"]["terminated"]["exitCode"], 137);
    // And so that the rig ends.
    rig.runtime.script(None, "main", testkit::fake::Script::default());
}
