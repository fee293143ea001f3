//! Pods that the API server deletes.

use std::time::Duration;

use serde_json::json;
use testkit::fake::{Script, Store};
use testkit::pod::pod;

use crate::api_server::ApiRig;
use crate::rig::{condition, container};

/// A pod whose container does not mind SIGTERM.
fn stubborn() -> Script {
    Script { stops_after: Duration::from_secs(3600), ..Script::default() }
}

#[tokio::test]
async fn a_deleted_pod_goes_when_nothing_of_it_runs() {
    let bed = ApiRig::start().await;
    bed.server.create(&pod("web").container("main", &["run"]).grace_period(60)).await;
    bed.server.until_ready("web").await;
    bed.server.forget_requests();
    bed.server.delete("web", None).await;
    bed.server.until_gone("web").await;
    bed.rig.runtime.read(|store| assert!(store.running_containers("web").is_empty()));
    bed.rig.until_store("nothing is left", |store| store.sandboxes("web").is_empty()).await;
    let writes = bed.server.pod_writes();
    let deletions: Vec<_> = writes.iter().filter(|write| write.starts_with("DELETE")).collect();
    assert_eq!(deletions, ["DELETE default/pods/web"]);
    assert!(writes.len() <= 4, "what is being stopped says little: {writes:?}");
    bed.rig.assert_proper();
}

#[tokio::test]
async fn a_deletion_can_be_hastened() {
    let bed = ApiRig::start().await;
    bed.rig.runtime.script(Some("web"), "main", stubborn());
    bed.server.create(&pod("web").container("main", &["run"]).grace_period(600)).await;
    bed.server.until_ready("web").await;
    bed.server.delete("web", None).await;
    bed.rig.until_store("it is told to stop", |store| store.calls("StopContainer") == 1).await;
    let deleting = bed.server.pod("web").await;
    assert_eq!(deleting["metadata"]["deletionGracePeriodSeconds"], 600);
    assert_eq!(deleting["status"]["phase"], "Running");
    bed.server.delete("web", Some(1)).await;
    bed.server.until_gone("web").await;
    bed.rig.until_store("nothing is left", |store| store.sandboxes("web").is_empty()).await;
}

#[tokio::test]
async fn a_forced_deletion_leaves_nothing() {
    let bed = ApiRig::start().await;
    bed.server.create(&pod("web").container("main", &["run"])).await;
    bed.server.until_ready("web").await;
    bed.server.delete("web", Some(0)).await;
    assert!(bed.server.pod("web").await.is_null(), "the object is gone at once");
    bed.rig.until_store("nothing is left", |store| store.sandboxes("web").is_empty()).await;
    bed.rig.assert_proper();
}

#[tokio::test]
async fn a_finalizer_holds_the_object_and_nothing_else() {
    let bed = ApiRig::start().await;
    let finalizers = json!({"finalizers": ["example.com/wait"]});
    bed.server.create(&pod("web").container("main", &["run"]).with_metadata(&finalizers)).await;
    bed.server.until_ready("web").await;
    bed.server.delete("web", None).await;
    let ended = bed
        .server
        .until_pod("web", "at its end", |pod| container(pod, "main")["state"]["terminated"].is_object())
        .await;
    assert_eq!(condition(&ended, "Ready")["status"], "False");
    bed.server.until_phase("web", "Failed").await;
    let patch = json!({"metadata": {"finalizers": null}});
    bed.server.patch("web", None, patch).await;
    bed.server.until_gone("web").await;
    bed.rig.until_store("nothing is left", |store| store.sandboxes("web").is_empty()).await;
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_deletion() {
    let mut bed = ApiRig::start().await;
    bed.rig.runtime.script(Some("web"), "main", stubborn());
    bed.server
        .create(&pod("web").container("main", &["run"]).container("side", &["run"]).grace_period(600))
        .await;
    bed.server.until_ready("web").await;
    bed.server.delete("web", None).await;
    let one_has_stopped =
        |store: &Store| store.running_containers("web") == ["main"] && store.calls("StopContainer") == 2;
    bed.rig.until_store("both are told, one has stopped", one_has_stopped).await;
    bed.rig.kill();
    bed.rig.launch();
    bed.rig.until_store("it is told again", |store| store.calls("StopContainer") >= 3).await;
    bed.server.delete("web", Some(1)).await;
    bed.server.until_gone("web").await;
    bed.rig.until_store("nothing is left", |store| store.sandboxes("web").is_empty()).await;
    assert_eq!(bed.rig.runtime.starts("web", "side"), 1, "nothing is started again");
    bed.rig.assert_proper();
}

#[tokio::test]
async fn what_was_deleted_while_berth_was_away() {
    let mut bed = ApiRig::start().await;
    for name in ["gone", "going", "stays"] {
        bed.server.create(&pod(name).container("main", &["run"])).await;
        bed.server.until_ready(name).await;
    }
    bed.rig.kill();
    bed.server.delete("gone", Some(0)).await;
    bed.server.delete("going", None).await;
    bed.rig.launch();
    bed.server.until_gone("going").await;
    for name in ["gone", "going"] {
        bed.rig.until_store("nothing is left", |store| store.sandboxes(name).is_empty()).await;
    }
    bed.rig.runtime.read(|store| assert!(store.is_running("stays", "main")));
    assert_eq!(bed.rig.runtime.starts("stays", "main"), 1);
}

#[tokio::test]
async fn pods_that_never_ran_are_deleted_too() {
    let mut bed = ApiRig::prepare("").await;
    bed.rig.runtime.set_network_ready(false, "NetworkPluginNotReady", "cni is not configured");
    bed.rig.launch();
    bed.server.until_node("registered", |node| !node.is_null()).await;
    bed.server.create(&pod("waits").container("main", &["run"])).await;
    bed.rig.until_why("waits", "the network", |why| why["step"] == "Runtime").await;
    bed.server.delete("waits", None).await;
    bed.server.until_gone("waits").await;

    // berth starts while the runtime is away: what is deleted has to wait until it is known what there is of it.
    bed.server.create(&pod("unknown").container("main", &["run"])).await;
    bed.rig.until_why("unknown", "the network", |why| why["step"] == "Runtime").await;
    bed.rig.kill();
    bed.rig.runtime.stop();
    bed.rig.launch();
    bed.server.delete("unknown", None).await;
    bed.rig.until_why("unknown", "the runtime", |why| why["step"] == "Runtime").await;
    assert!(!bed.server.pod("unknown").await.is_null());
    bed.rig.runtime.restart().await.unwrap();
    bed.server.until_gone("unknown").await;
    bed.rig.assert_proper();
}
