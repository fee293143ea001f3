//! The node in a cluster: what it says of itself, and an API server that is away, comes, goes and comes back.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use testkit::containerd::BUSYBOX;
use testkit::pod::pod;

use crate::api_server::{ApiRig, Server};
use crate::rig::{DEADLINE, Rig, condition};

/// Signs of life every half a second, and reports of what changed after as long.
const QUICK: &str = "nodeLeaseDurationSeconds: 2\nnodeStatusUpdateFrequency: 500ms\n";

async fn until_ready(server: &Server) -> Value {
    server.until_node("ready", |node| condition(node, "Ready")["status"] == "True").await
}

/// Waits until the lease was renewed after now.
async fn until_renewed(this: &ApiRig) {
    let before = this.server.lease().await["spec"]["renewTime"].clone();
    let is_newer = |lease: &Value| !lease.is_null() && lease["spec"]["renewTime"] != before;
    this.rig.until("the lease is renewed", DEADLINE, || this.server.lease(), is_newer).await;
}

async fn joined(config: &str) -> ApiRig {
    let mut this = ApiRig::prepare(config).await;
    this.rig.launch();
    until_ready(&this.server).await;
    this
}

#[tokio::test]
async fn a_node_registers_with_all_there_is_to_say() {
    let mut this = ApiRig::prepare("registerWithTaints: [{key: a, value: b, effect: NoSchedule}]\n").await;
    this.rig.runtime.add_image(BUSYBOX, 4096, false);
    this.rig.flags.push("--node-labels=example.com/rack=7".to_owned());
    this.rig.launch();
    let node = this.server.until_node("there", |node| !node.is_null()).await;
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
    until_renewed(&this).await;
    let lease = this.server.lease().await;
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], node["metadata"]["uid"]);
    assert_eq!(lease["spec"]["holderIdentity"], "node");
    for reason in ["Starting", "NodeReady", "NodeHasSufficientMemory"] {
        this.server.until_node_event(reason).await;
    }
}

#[tokio::test]
async fn a_restart_writes_nothing_of_the_node() {
    let mut this = joined("nodeLeaseDurationSeconds: 2\n").await;
    this.rig.put(&pod("web"));
    this.rig.until_ready("web").await;
    until_renewed(&this).await;
    let before = this.server.node().await;
    for _ in 0..3 {
        this.rig.kill();
        this.rig.launch();
        until_renewed(&this).await;
        this.rig.until_ready("web").await;
    }
    // Twice more: what it learned of the runtime in between is known by then.
    until_renewed(&this).await;
    until_renewed(&this).await;
    assert_eq!(this.server.node().await, before);
    assert_eq!(this.rig.runtime.starts("web-node", "main"), 1);
}

#[tokio::test]
async fn what_changes_is_told() {
    let this = joined(QUICK).await;
    this.rig.runtime.set_runtime_ready(false, "Broken", "it is broken");
    let is_told = |node: &Value| {
        let ready = condition(node, "Ready");
        ready["status"] == "False" && ready["message"].to_string().contains("it is broken")
    };
    this.server.until_node("not ready", is_told).await;
    this.rig.runtime.set_runtime_ready(true, "", "");
    until_ready(&this.server).await;
    this.rig.put(&pod("web"));
    this.rig.until_ready("web").await;
    this.server.until_node("shows the image", |node| node["status"]["images"][0].is_object()).await;
}

#[tokio::test]
async fn an_api_server_that_is_away_at_the_start_is_joined_when_it_comes() {
    let mut this = ApiRig::prepare(QUICK).await;
    this.server.stop().await;
    this.rig.launch();
    this.rig.put(&pod("web"));
    this.rig.until_ready("web").await;
    this.rig
        .until_problems("the server is away", |all| all.to_string().contains("NodeStatusNotReported"))
        .await;
    assert_eq!(this.rig.ask("/healthz").await.as_deref(), Some("ok"));
    this.server.come_back().await;
    until_ready(&this.server).await;
    until_renewed(&this).await;
    this.rig.until_problems("none", |all| all == &json!([])).await;
    assert_eq!(this.rig.runtime.starts("web-node", "main"), 1);
}

#[tokio::test]
async fn an_api_server_that_goes_away_for_long_is_told_what_is_news_when_it_is_back() {
    let mut this = joined(QUICK).await;
    this.rig.put(&pod("web"));
    this.rig.until_ready("web").await;
    until_renewed(&this).await;
    this.server.stop().await;
    this.rig.until_problems("the lease", |all| all.to_string().contains("NodeLeaseNotRenewed")).await;
    let why = this.rig.command(&["why"]).await;
    assert!(why.contains("NodeLeaseNotRenewed") && why.contains("No pod is held up"), "{why}");
    this.rig.put(&pod("later"));
    this.rig.until_ready("later").await;
    this.rig.runtime.set_network_ready(false, "NetworkPluginNotReady", "gone meanwhile");
    this.rig.until_problems("the status", |all| all.to_string().contains("NodeStatusNotReported")).await;
    this.server.come_back().await;
    this.server.until_node("not ready", |node| condition(node, "Ready")["status"] == "False").await;
    until_renewed(&this).await;
    this.rig.until_problems("none", |all| all == &json!([])).await;
    for name in ["web-node", "later-node"] {
        assert_eq!(this.rig.runtime.starts(name, "main"), 1);
    }
    assert!(this.rig.terminate().await.success());
}

#[tokio::test]
async fn a_node_that_does_not_register_waits_for_its_object() {
    let mut this = ApiRig::prepare(QUICK).await;
    this.rig.flags.push("--register-node=false".to_owned());
    this.rig.launch();
    this.rig.put(&pod("web"));
    this.rig.until_ready("web").await;
    this.rig.until_problems("no node", |all| all.to_string().contains("NodeStatusNotReported")).await;
    assert_eq!(this.server.node().await, Value::Null);
    this.server.create_node().await;
    until_ready(&this.server).await;
    until_renewed(&this).await;
}

#[tokio::test]
async fn pods_are_admitted_by_the_labels_that_the_cluster_gave() {
    let this = joined(QUICK).await;
    this.server.patch_node(json!({"metadata": {"labels": {"disk": "ssd"}}})).await;
    this.server.patch_node(json!({"spec": {"unschedulable": true}})).await;
    // Who has heard of the later change has heard of the earlier one.
    this.server.until_node_event("NodeNotSchedulable").await;
    this.rig.put(&pod("fast").with_spec(&json!({"nodeSelector": {"disk": "ssd"}})));
    this.rig.put(&pod("slow").with_spec(&json!({"nodeSelector": {"disk": "hdd"}})));
    this.rig.until_ready("fast").await;
    let slow = this.rig.until_phase("slow", "Failed").await;
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
        rig.flags.push(format!("--kubeconfig={}", path.display()));
        rig.launch();
        assert_eq!(rig.ended().await.code(), Some(1));
        rig.until_log(wanted).await;
        rig.until_log("bad.kubeconfig").await;
    }
}

#[tokio::test]
async fn a_silent_api_server_holds_nothing_up() {
    let mut this = ApiRig::prepare(QUICK).await;
    this.server.stop().await;
    // Somebody accepts connections there and never says anything.
    let silent = tokio::net::TcpListener::bind(this.server.address()).await.unwrap();
    this.rig.launch();
    this.rig.put(&pod("web"));
    this.rig.until_ready("web").await;
    this.rig.until_problems("silence", |all| all.to_string().contains("NodeStatusNotReported")).await;
    drop(silent);
    this.server.come_back().await;
    until_ready(&this.server).await;
    until_renewed(&this).await;
    tokio::time::timeout(Duration::from_secs(5), this.rig.terminate()).await.expect("berth ends at once");
}

#[tokio::test]
async fn calls_that_fail_are_made_again() {
    let mut this = ApiRig::prepare(QUICK).await;
    for (method, path, code) in [
        (Method::GET, "/nodes/node", 429),
        (Method::POST, "/nodes", 500),
        (Method::POST, "/nodes", 409),
        (Method::PATCH, "/leases/node", 503),
    ] {
        this.server.fail(method, path, code, 2);
    }
    this.rig.launch();
    until_ready(&this.server).await;
    until_renewed(&this).await;
    for code in [409, 429, 500] {
        this.server.fail(Method::PATCH, "/nodes/node/status", code, 1);
    }
    this.rig.runtime.set_runtime_ready(false, "Broken", "it is broken");
    this.server.until_node("not ready", |node| condition(node, "Ready")["status"] == "False").await;
    this.rig.until_problems("none", |all| all == &json!([])).await;
}

#[tokio::test]
async fn a_node_that_was_deleted_is_registered_again() {
    let this = joined(QUICK).await;
    let before = this.server.node().await;
    this.server.delete_node().await;
    let is_new = |node: &Value| !node.is_null() && node["metadata"]["uid"] != before["metadata"]["uid"];
    let node = this.server.until_node("registered again", is_new).await;
    assert_eq!(condition(&node, "Ready")["status"], "True");
    let owner = |lease: &Value| lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"];
    this.rig.until("the lease is the new node's", DEADLINE, || this.server.lease(), owner).await;
}
