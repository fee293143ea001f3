//! Probes of real containers: commands in them, and requests to their network.

use serde_json::{Value, json};
use testkit::pod::pod;

use crate::rig::{FOREVER, Rig, container, is_emulated, is_ready};

/// How long an attempt may take, in seconds. One that is late counts here at once, and starting a process may take a second on
/// a busy machine, and several in an emulated one.
fn limit() -> u32 {
    if is_emulated() { 20 } else { 5 }
}

fn every_second(mut probe: Value) -> Value {
    for (field, value) in [("periodSeconds", 1), ("failureThreshold", 1), ("timeoutSeconds", limit())] {
        probe[field] = json!(value);
    }
    probe
}

#[tokio::test]
async fn real_a_web_server_is_ready_when_it_has_the_page() {
    let mut rig = Rig::start().await;
    let serve = [
        "sh",
        "-c",
        "mkdir /www; httpd -p 8080 -h /www; trap 'exit 0' TERM; while :; do sleep 100000 & wait $!; done",
    ];
    let probes = json!({
        "ports": [{"name": "web", "containerPort": 8080}],
        "startupProbe": {"tcpSocket": {"port": "web"}, "periodSeconds": 1, "failureThreshold": 100},
        "readinessProbe": every_second(json!({"httpGet": {"path": "/page", "port": "web"}})),
    });
    rig.put("web", &pod("web").container("main", &serve).with_container("main", &probes));
    let started = |pod: &Value| container(pod, "main")["started"] == true;
    let web = rig.until("web", "started", started).await;
    assert!(!is_ready(&web));
    rig.until_why("web", |why| why["events"].to_string().contains("statuscode: 404")).await;
    rig.sh(&web, "main", "echo ok > /www/page").await;
    rig.until_ready("web").await;
    rig.sh(&web, "main", "rm /www/page").await;
    let unready = rig.until("web", "not ready", |pod| !is_ready(pod)).await;
    assert_eq!(container(&unready, "main")["restartCount"], 0);
    rig.finish().await;
}

#[tokio::test]
async fn real_a_command_that_takes_too_long_is_killed_and_its_container_started_again() {
    let mut rig = Rig::start().await;
    let command = ["sh", "-c", "echo $(WORD); test ! -e /tmp/hang || exec sleep 65432"];
    let probes = json!({
        "env": [{"name": "WORD", "value": "ok"}],
        "livenessProbe": every_second(json!({"exec": {"command": command}})),
        "readinessProbe": every_second(json!({"exec": {"command": ["test", "-d", "/tmp"]}})),
    });
    rig.put("slow", &pod("slow").container("main", &FOREVER).with_container("main", &probes));
    let slow = rig.until_ready("slow").await;
    rig.sh(&slow, "main", "touch /tmp/hang").await;
    let again = |pod: &Value| is_ready(pod) && container(pod, "main")["restartCount"] == 1;
    let slow = rig.until("slow", "started again", again).await;
    assert_eq!(container(&slow, "main")["lastState"]["terminated"]["exitCode"], 0, "it was asked to end");
    let why = rig.until_why("slow", |why| why["failures"].is_null()).await;
    let events = why["events"].to_string();
    for event in [
        "Liveness probe failed: command timed out: \\\"sh -c echo ok; test ! -e /tmp/hang",
        "Container main failed liveness probe, will be restarted",
    ] {
        assert!(events.contains(event), "{event}: {why:#}");
    }
    let gone = || !commands().iter().any(|line| line.starts_with("sleep 65432"));
    rig.until_machine("the command is gone", gone).await;
    rig.finish().await;
}

/// The command lines of all processes.
fn commands() -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).ok());
    lines.map(|line| line.replace('\0', " ")).collect()
}
