//! The node in a cluster: what it says of itself, and an API server that is away, comes, goes and comes back.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::containerd::BUSYBOX;
use testkit::pod::pod;
use types::corev1::Node;
use types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::apiserver::ApiServer;
use crate::rig::{DEADLINE, Rig, condition};

/// Signs of life every half a second, and reports of what changed after as long.
const QUICK: &str = "nodeLeaseDurationSeconds: 2\nnodeStatusUpdateFrequency: 500ms\n";

async fn until_node(rig: &Rig, server: &ApiServer, what: &str, seen: impl Fn(&Value) -> bool) -> Value {
    rig.until(&format!("the node: {what}"), DEADLINE, || server.node(), seen).await
}

async fn until_ready(rig: &Rig, server: &ApiServer) -> Value {
    until_node(rig, server, "ready", |node| condition(node, "Ready")["status"] == "True").await
}

/// Waits until the lease was renewed after now.
async fn until_renewed(rig: &Rig, server: &ApiServer) {
    let before = server.lease().await["spec"]["renewTime"].clone();
    let is_newer = |lease: &Value| !lease.is_null() && lease["spec"]["renewTime"] != before;
    rig.until("the lease is renewed", DEADLINE, || server.lease(), is_newer).await;
}

async fn joined(config: &str) -> (Rig, ApiServer) {
    let server = ApiServer::start().await;
    let mut rig = Rig::prepare(config).await;
    rig.join(&server);
    rig.launch();
    until_ready(&rig, &server).await;
    (rig, server)
}

#[tokio::test]
async fn a_node_registers_with_all_there_is_to_say() {
    let server = ApiServer::start().await;
    let mut rig = Rig::prepare("registerWithTaints: [{key: a, value: b, effect: NoSchedule}]\n").await;
    rig.runtime.add_image(BUSYBOX, 4096, false);
    rig.join(&server);
    rig.flag("--node-labels=example.com/rack=7".to_owned());
    rig.launch();
    let node = until_node(&rig, &server, "is there", |node| !node.is_null()).await;
    // With one write, if nothing is in the way.
    assert_eq!(condition(&node, "Ready")["status"], "True", "{node:#}");
    for (label, value) in [("kubernetes.io/hostname", "node"), ("example.com/rack", "7")] {
        assert_eq!(node["metadata"]["labels"][label], value);
    }
    assert_eq!(node["spec"]["taints"][0]["key"], "a");
    let status = &node["status"];
    assert_eq!(status["nodeInfo"]["kubeletVersion"].as_str().map(|version| &version[..3]), Some("v1."));
    assert!(status["nodeInfo"]["containerRuntimeVersion"].as_str().unwrap().contains("://"), "{status:#}");
    assert_eq!(status["images"][0]["sizeBytes"], 4096);
    assert_eq!(status["daemonEndpoints"]["kubeletEndpoint"]["Port"], 0);
    assert!(status["allocatable"]["cpu"].is_string());
    until_renewed(&rig, &server).await;
    let lease = server.lease().await;
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], node["metadata"]["uid"]);
    assert_eq!(lease["spec"]["holderIdentity"], "node");
    let told = |events: &Value| {
        ["Starting", "NodeReady", "NodeHasSufficientMemory"]
            .into_iter()
            .all(|reason| events.as_array().is_some_and(|events| events.contains(&json!(reason))))
    };
    rig.until("events", DEADLINE, || server.node_events(), told).await;
}

#[tokio::test]
async fn a_restart_writes_nothing_of_the_node() {
    let (mut rig, server) = joined("nodeLeaseDurationSeconds: 2\n").await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    until_renewed(&rig, &server).await;
    let before = server.node().await;
    for _ in 0..3 {
        rig.kill();
        rig.launch();
        until_renewed(&rig, &server).await;
        rig.until_ready("web").await;
    }
    // Twice more: what it learned of the runtime in between is known by then.
    until_renewed(&rig, &server).await;
    until_renewed(&rig, &server).await;
    assert_eq!(server.node().await, before);
    assert_eq!(rig.runtime.starts("web-node", "main"), 1);
}

#[tokio::test]
async fn what_changes_is_told() {
    let (rig, server) = joined(QUICK).await;
    rig.runtime.set_runtime_ready(false, "Broken", "it is broken");
    let is_told = |node: &Value| {
        let ready = condition(node, "Ready");
        ready["status"] == "False" && ready["message"].to_string().contains("it is broken")
    };
    until_node(&rig, &server, "not ready", is_told).await;
    rig.runtime.set_runtime_ready(true, "", "");
    until_ready(&rig, &server).await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    until_node(&rig, &server, "shows the image", |node| node["status"]["images"][0].is_object()).await;
}

#[tokio::test]
async fn an_api_server_that_is_away_at_the_start_is_joined_when_it_comes() {
    let mut server = ApiServer::start().await;
    server.kill();
    let mut rig = Rig::prepare(QUICK).await;
    rig.join(&server);
    rig.launch();
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    rig.until_problems("the server is away", |all| all.to_string().contains("NodeStatusNotReported")).await;
    assert_eq!(rig.ask("/healthz").await.as_deref(), Some("ok"));
    server.restart().await;
    until_ready(&rig, &server).await;
    until_renewed(&rig, &server).await;
    rig.until_problems("none", |all| all == &json!([])).await;
    assert_eq!(rig.runtime.starts("web-node", "main"), 1);
}

#[tokio::test]
async fn an_api_server_that_goes_away_for_long_is_told_what_is_news_when_it_is_back() {
    let (mut rig, mut server) = joined(QUICK).await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    until_renewed(&rig, &server).await;
    server.kill();
    rig.until_problems("the lease", |all| all.to_string().contains("NodeLeaseNotRenewed")).await;
    rig.put(&pod("later"));
    rig.until_ready("later").await;
    rig.runtime.set_network_ready(false, "NetworkPluginNotReady", "gone meanwhile");
    rig.until_problems("the status", |all| all.to_string().contains("NodeStatusNotReported")).await;
    server.restart().await;
    until_node(&rig, &server, "not ready", |node| condition(node, "Ready")["status"] == "False").await;
    until_renewed(&rig, &server).await;
    rig.until_problems("none", |all| all == &json!([])).await;
    for name in ["web-node", "later-node"] {
        assert_eq!(rig.runtime.starts(name, "main"), 1);
    }
    assert!(rig.terminate().await.success());
}

#[tokio::test]
async fn a_node_that_does_not_register_waits_for_its_object() {
    let server = ApiServer::start().await;
    let mut rig = Rig::prepare(QUICK).await;
    rig.join(&server);
    rig.flag("--register-node=false".to_owned());
    rig.launch();
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    rig.until_problems("no node", |all| all.to_string().contains("NodeStatusNotReported")).await;
    assert_eq!(server.node().await, Value::Null);
    let metadata = ObjectMeta { name: Some("node".to_owned()), ..ObjectMeta::default() };
    server.admin().create_node(&Node { metadata, ..Node::default() }).await.unwrap();
    until_ready(&rig, &server).await;
    until_renewed(&rig, &server).await;
}

#[tokio::test]
async fn pods_are_admitted_by_the_labels_that_the_cluster_gave() {
    let (rig, server) = joined(QUICK).await;
    let label = json!({"metadata": {"labels": {"disk": "ssd"}}});
    server.admin().patch_node("node", &label).await.unwrap();
    let cordon = json!({"spec": {"unschedulable": true}});
    server.admin().patch_node("node", &cordon).await.unwrap();
    // Who has heard of the later change has heard of the earlier one.
    let told = |events: &Value| {
        events.as_array().is_some_and(|events| events.contains(&json!("NodeNotSchedulable")))
    };
    rig.until("the cordon is seen", DEADLINE, || server.node_events(), told).await;
    rig.put(&pod("fast").with_spec(&json!({"nodeSelector": {"disk": "ssd"}})));
    rig.put(&pod("slow").with_spec(&json!({"nodeSelector": {"disk": "hdd"}})));
    rig.until_ready("fast").await;
    let slow = rig.until_phase("slow", "Failed").await;
    assert_eq!(slow["status"]["reason"], "NodeAffinity");
}

#[tokio::test]
async fn a_kubeconfig_that_cannot_be_used_ends_berth() {
    for (content, wanted) in
        [(None, "No such file"), (Some("clusters: 7\n"), "kubeconfig"), (Some("{}"), "current-context")]
    {
        let mut rig = Rig::prepare("").await;
        let path = rig.root().join("bad.kubeconfig");
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        rig.flag(format!("--kubeconfig={}", path.display()));
        rig.launch();
        assert_eq!(rig.ended().await.code(), Some(1));
        rig.until_log(wanted).await;
        rig.until_log("bad.kubeconfig").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_api_server_holds_nothing_up() {
    let mut server = ApiServer::start().await;
    server.kill();
    // Somebody accepts connections there and never says anything.
    let silent = tokio::net::TcpListener::bind(server.address()).await.unwrap();
    let mut rig = Rig::prepare(QUICK).await;
    rig.join(&server);
    rig.launch();
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    rig.until_problems("silence", |all| all.to_string().contains("NodeStatusNotReported")).await;
    drop(silent);
    server.restart().await;
    until_ready(&rig, &server).await;
    until_renewed(&rig, &server).await;
    tokio::time::timeout(Duration::from_secs(5), rig.terminate()).await.expect("berth ends at once");
}
