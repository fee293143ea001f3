//! A runtime that is not there, not ready, or there again.

use serde_json::json;
use testkit::pod::pod;

use crate::rig::Rig;

#[tokio::test]
async fn without_a_network_only_pods_that_need_none_start() {
    let mut rig = Rig::prepare("").await;
    rig.runtime.set_network_ready(false, "NetworkPluginNotReady", "cni plugin not initialized");
    rig.launch();
    rig.put(&pod("web"));
    rig.put(&pod("host").with_spec(&json!({"hostNetwork": true})));
    rig.until_ready("host").await;
    let why = rig
        .until_why("web", "waits for the network", |why| {
            why["step"] == "Runtime" && why["waitingFor"].to_string().contains("network")
        })
        .await;
    assert!(why["waitingFor"].to_string().contains("cni plugin not initialized"), "{why}");
    rig.until_why("web", "the event", |why| why["events"].to_string().contains("NetworkNotReady")).await;
    assert_eq!(rig.journal("web"), [""; 0]);
    rig.runtime.set_network_ready(true, "", "");
    rig.until_ready("web").await;
    rig.assert_proper();
}

#[tokio::test]
async fn pods_wait_for_a_runtime_that_is_not_ready() {
    let mut rig = Rig::prepare("").await;
    rig.runtime.set_runtime_ready(false, "Starting", "still loading");
    rig.launch();
    rig.put(&pod("web"));
    let why = rig
        .until_why("web", "waits for the runtime", |why| {
            why["step"] == "Runtime" && why["waitingFor"].to_string().contains("still loading")
        })
        .await;
    assert_eq!(why["phase"], "Pending");
    rig.runtime.set_runtime_ready(true, "", "");
    rig.until_ready("web").await;
    rig.assert_proper();
}

#[tokio::test]
async fn pods_wait_for_a_runtime_that_is_not_there() {
    let mut rig = Rig::prepare("").await;
    rig.runtime.stop();
    rig.launch();
    rig.put(&pod("web"));
    rig.until_why("web", "waits for the runtime", |why| why["step"] == "Runtime").await;
    let health = rig.until(
        "not healthy",
        crate::rig::DEADLINE,
        || async { json!(rig.ask("/healthz").await) },
        |text| text.as_str().is_some_and(|text| text.contains("container runtime")),
    );
    health.await;
    rig.runtime.restart().await.unwrap();
    rig.until_ready("web").await;
    rig.assert_proper();
}

#[tokio::test]
async fn a_restart_of_the_runtime_disturbs_nothing() {
    let mut rig = Rig::start().await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    rig.runtime.restart().await.unwrap();
    rig.put(&pod("later"));
    rig.until_ready("later").await;
    rig.remove("later");
    rig.until_gone("later").await;
    assert_eq!(rig.journal("web"), ["RunPodSandbox", "CreateContainer main", "StartContainer main"]);
    rig.assert_proper();
}

#[tokio::test]
async fn what_happened_while_the_runtime_was_away_is_made_up_for() {
    let mut rig = Rig::start().await;
    for name in ["stays", "ends", "goes"] {
        rig.put(&pod(name));
        rig.until_ready(name).await;
    }
    rig.runtime.stop();
    rig.runtime.exit_container("ends-node", "main", 1);
    rig.remove("goes");
    rig.put(&pod("comes"));
    rig.until_why("comes", "is held up by the runtime", |why| {
        let text = why.to_string();
        text.contains("container runtime") || text.contains("CRI call")
    })
    .await;
    rig.runtime.restart().await.unwrap();
    rig.until_ready("comes").await;
    rig.until_gone("goes").await;
    rig.until_store("ends is started again", |store| store.is_running("ends-node", "main")).await;
    assert_eq!(rig.journal("stays"), ["RunPodSandbox", "CreateContainer main", "StartContainer main"]);
    rig.assert_proper();
}
