//! A runtime that is not there, not ready, or there again.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::containerd::BUSYBOX;
use testkit::fake::{Fault, Match};
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
    rig.runtime.set_runtime_ready(false, "Starting", "nearly there");
    let follows = |why: &Value| why["waitingFor"].to_string().contains("nearly there");
    rig.until_why("web", "follows what the runtime says", follows).await;
    rig.runtime.set_runtime_ready(true, "", "");
    rig.until_ready("web").await;
    rig.assert_proper();
}

#[tokio::test]
async fn no_pod_is_refused_for_what_the_runtime_has_not_said_yet() {
    let mut rig = Rig::prepare("").await;
    let silence = rig.runtime.fault(Match::call("Status"), Fault::Hang);
    rig.launch();
    rig.put(&pod("web").with_spec(&json!({"securityContext": {"supplementalGroupsPolicy": "Strict"}})));
    rig.until_why("web", "was taken up", |why| why["step"] == "Admission").await;
    drop(silence);
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
    // That is no fault of berth's: a restart of it would not help.
    assert_eq!(rig.ask("/healthz").await.as_deref(), Some("ok"));
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

#[tokio::test]
async fn the_runtime_restarts_again_and_again_while_pods_come_and_go() {
    let mut rig = Rig::start().await;
    for call in ["RunPodSandbox", "CreateContainer", "StartContainer", "StopContainer", "RemovePodSandbox"] {
        rig.runtime.set_latency(call, Duration::from_millis(5));
    }
    rig.runtime.add_image(BUSYBOX, 1, false);
    rig.put(&pod("steady"));
    rig.until_ready("steady").await;
    let begun = rig.journal("steady");
    for round in 0..8 {
        rig.put(&pod(&format!("pod-{round}")));
        if round % 2 == 1 {
            rig.remove(&format!("pod-{}", round - 1));
        }
        // In the midst of what that led to.
        let calls = rig.runtime.read(|store| store.journal().len()) + 3 * round;
        let _ = rig
            .runtime
            .wait_for("calls", Duration::from_millis(200), |store| store.journal().len() > calls)
            .await;
        rig.runtime.restart().await.unwrap();
    }
    for round in (1..8).step_by(2) {
        rig.until_ready(&format!("pod-{round}")).await;
        rig.until_gone(&format!("pod-{}", round - 1)).await;
    }
    assert_eq!(rig.journal("steady"), begun);
    rig.assert_proper();
}
