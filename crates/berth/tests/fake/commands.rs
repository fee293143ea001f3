//! What an operator asks, by command and by socket.

use serde_json::Value;
use testkit::fake::{LogStream, Script};
use testkit::pod::pod;

use crate::rig::{DEADLINE, Rig};

#[tokio::test]
async fn pods_are_listed_and_explained() {
    let rig = Rig::start().await;
    rig.runtime.script(Some("crash-node"), "main", Script { exits_at_once: Some(3), ..Script::default() });
    rig.put(&pod("web").sidecar("proxy", &["nc"]).container("app", &["httpd"]));
    rig.put_file("broken.yaml", "apiVersion: v1\nkind: [\n");
    rig.until_ready("web").await;
    rig.until_problems("broken", |all| all[0]["reason"].is_string()).await;
    // Ten seconds later it starts again: it comes last.
    rig.put(&pod("crash"));
    rig.until_why("crash", "backs off", |why| why["step"] == "BackOff").await;

    let table = rig.command(&["pods"]).await;
    let line = |name: &str| {
        let line =
            table.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {table}"));
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line("web-node")[2..5], ["2/2", "Running", "0"]);
    assert_eq!(line("crash-node")[2..4], ["0/1", "CrashLoopBackOff"]);
    assert!(table.contains("broken.yaml:"), "{table}");

    let why = rig.command(&["why", "crash"]).await;
    for wanted in ["CrashLoopBackOff", "back-off 10s restarting failed container=main", "berth logs"] {
        assert!(why.contains(wanted), "{wanted} is not in {why}");
    }
    let json = rig.command(&["pods", "-o", "json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap()["kind"], "PodList");
}

#[tokio::test]
async fn logs_are_shown() {
    let rig = Rig::start().await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    rig.runtime.write_log("web-node", "main", LogStream::Stdout, "listening on 80\nready\n").unwrap();
    assert_eq!(rig.command(&["logs", "web-node"]).await, "listening on 80\nready\n");
    assert_eq!(rig.command(&["logs", "web-node", "--tail", "1"]).await, "ready\n");
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let rig = Rig::start().await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    for wanted in [
        "kubelet_started_pods_total 1",
        "kubelet_started_containers_total{container_type=\"container\"} 1",
        "kubelet_desired_pods{static=\"true\"} 1",
        "kubelet_running_pods 1",
        "kubelet_running_containers{container_state=\"running\"} 1",
        "kubelet_runtime_operations_total{operation_type=\"run_podsandbox\"} 1",
    ] {
        let page = || async { rig.ask("/metrics").await.unwrap_or_default().into() };
        let counted =
            |page: &Value| page.as_str().is_some_and(|page| page.lines().any(|line| line == wanted));
        rig.until(wanted, DEADLINE, page, counted).await;
    }
}
