//! A pod's way through the API server.

use serde_json::json;
use testkit::pod::pod;

use crate::api_server::ApiRig;
use crate::rig::{condition, container};

#[tokio::test]
async fn a_pod_runs_and_the_server_knows() {
    let bed = ApiRig::start().await;
    bed.server.create(&pod("web").init_container("prepare", &["true"]).container("main", &["run"])).await;
    bed.rig.until_store("prepare runs", |store| store.is_running("web", "prepare")).await;
    let waiting = bed
        .server
        .until_pod("web", "waiting", |pod| container(pod, "prepare")["state"]["running"].is_object());
    let waiting = waiting.await;
    assert_eq!(waiting["status"]["phase"], "Pending");
    assert_eq!(condition(&waiting, "Initialized")["reason"], "ContainersNotInitialized");
    bed.rig.runtime.exit_container("web", "prepare", 0);
    let ready = bed.server.until_ready("web").await;
    let status = &ready["status"];
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["qosClass"], "BestEffort");
    assert_eq!(status["observedGeneration"], ready["metadata"]["generation"]);
    assert_eq!(status["podIPs"][0]["ip"], status["podIP"]);
    assert!(status["hostIP"].is_string() && status["startTime"].is_string());
    assert_eq!(container(&ready, "prepare")["state"]["terminated"]["exitCode"], 0);
    assert_eq!(condition(&ready, "PodScheduled")["status"], "True");
    assert_eq!(bed.rig.runtime.starts("web", "main"), 1);
    bed.rig.assert_proper();
}

#[tokio::test]
async fn a_job_ends_and_stays_as_long_as_its_object() {
    let bed = ApiRig::start().await;
    bed.server.create(&pod("job").container("main", &["run"]).restart_policy("Never")).await;
    bed.server.until_ready("job").await;
    bed.rig.runtime.exit_container("job", "main", 3);
    let failed = bed.server.until_phase("job", "Failed").await;
    assert_eq!(container(&failed, "main")["state"]["terminated"]["exitCode"], 3);
    assert_eq!(condition(&failed, "Ready")["reason"], "PodFailed");
    bed.rig.until_store("its container is kept", |store| store.container("job", "main").is_some()).await;
    bed.server.delete("job", None).await;
    bed.server.until_gone("job").await;
    bed.rig.until_store("nothing is left", |store| store.sandboxes("job").is_empty()).await;
    bed.rig.assert_proper();
}

#[tokio::test]
async fn an_update_and_an_ephemeral_container_are_followed() {
    let bed = ApiRig::start().await;
    bed.server.create(&pod("web").container("main", &["run"])).await;
    bed.server.until_ready("web").await;
    let debugger = json!({"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox",
        "targetContainerName": "main", "terminationMessagePolicy": "File"}]}});
    bed.server.patch("web", Some("ephemeralcontainers"), debugger).await;
    bed.server
        .until_pod("web", "being looked into", |pod| container(pod, "debug")["state"]["running"].is_object())
        .await;
    assert_eq!(bed.rig.runtime.starts("web", "main"), 1);

    bed.server
        .patch("web", None, json!({"spec": {"containers": [{"name": "main", "image": "other"}]}}))
        .await;
    let changed = bed
        .server
        .until_pod("web", "run from another image", |pod| {
            container(pod, "main")["image"].as_str().is_some_and(|image| image.contains("other"))
                && container(pod, "main")["state"]["running"].is_object()
        })
        .await;
    assert_eq!(container(&changed, "main")["restartCount"], 1);
    bed.rig.assert_proper();
}

#[tokio::test]
async fn readiness_gates_and_overwritten_statuses() {
    let bed = ApiRig::start().await;
    let gates = json!({"readinessGates": [{"conditionType": "example.com/lb"}]});
    bed.server.create(&pod("web").container("main", &["run"]).with_spec(&gates)).await;
    let waits = bed
        .server
        .until_pod("web", "waiting for its gate", |pod| {
            condition(pod, "Ready")["reason"] == "ReadinessGatesNotReady"
        })
        .await;
    assert_eq!(condition(&waits, "ContainersReady")["status"], "True");
    let says =
        |kind: &str, status: &str| json!({"status": {"conditions": [{"type": kind, "status": status}]}});
    bed.server.patch("web", Some("status"), says("example.com/lb", "True")).await;
    let ready = bed.server.until_ready("web").await;
    assert_eq!(condition(&ready, "example.com/lb")["status"], "True");

    // Somebody writes what is not theirs.
    bed.server.patch("web", Some("status"), says("Ready", "False")).await;
    bed.server.until_ready("web").await;
    bed.server
        .patch(
            "web",
            Some("status"),
            json!({"status": {"podIP": "1.2.3.4", "podIPs": [{"ip": "1.2.3.4"}, {"$patch": "replace"}]}}),
        )
        .await;
    bed.server
        .until_pod("web", "back at its address", |pod| pod["status"]["podIP"] == ready["status"]["podIP"])
        .await;
}

#[tokio::test]
async fn a_pod_that_others_end_is_stopped() {
    let bed = ApiRig::start().await;
    bed.server.create(&pod("web").container("main", &["run"])).await;
    bed.server.until_ready("web").await;
    let failed = json!({"status": {"phase": "Failed", "reason": "NodeShutdownElsewhere"}});
    bed.server.patch("web", Some("status"), failed).await;
    bed.rig.until_store("stopped", |store| store.running_containers("web").is_empty()).await;
    let over = bed
        .server
        .until_pod("web", "shown as ended", |pod| container(pod, "main")["state"]["terminated"].is_object())
        .await;
    assert_eq!(over["status"]["reason"], "NodeShutdownElsewhere");
    assert_eq!(condition(&over, "Ready")["status"], "False");
}

#[tokio::test]
async fn pods_of_one_name_follow_one_another() {
    let bed = ApiRig::start().await;
    bed.server.create(&pod("web").container("main", &["run"])).await;
    let first = bed.server.until_ready("web").await;
    bed.server.delete("web", Some(0)).await;
    bed.server.create(&pod("web").container("main", &["run"])).await;
    let uid = first["metadata"]["uid"].clone();
    let second = bed
        .server
        .until_pod("web", "another one", |pod| {
            pod["metadata"]["uid"] != uid && condition(pod, "Ready")["status"] == "True"
        })
        .await;
    bed.rig
        .until_store("the first one is gone", |store| {
            store.sandboxes("web").iter().all(|sandbox| second["metadata"]["uid"] == sandbox.uid())
        })
        .await;
    bed.rig.assert_proper();
}
