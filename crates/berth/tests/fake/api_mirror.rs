//! Mirror pods.

use serde_json::{Value, json};
use testkit::pod::pod;

use crate::api_server::ApiRig;
use crate::rig::{container, full, is_ready};

fn uid(pod: &Value) -> &str {
    pod["metadata"]["uid"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_static_pod_is_shown_by_the_server() {
    let bed = ApiRig::start().await;
    bed.rig.put(&pod("web").container("main", &["run"]));
    let mirror = bed.server.until_ready(&full("web")).await;
    let annotations = &mirror["metadata"]["annotations"];
    assert_eq!(annotations["kubernetes.io/config.source"], "file");
    assert_eq!(annotations["kubernetes.io/config.mirror"], annotations["kubernetes.io/config.hash"]);
    let owner = &mirror["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["name"], &owner["controller"]),
        (&json!("Node"), &json!("node"), &json!(true))
    );
    let shown = bed.rig.pod("web").await;
    assert_eq!(shown["status"]["podIP"], mirror["status"]["podIP"]);
    assert_eq!(container(&mirror, "main")["state"], container(&shown, "main")["state"]);

    // A user deletes the mirror: the pod stays, and so does its image.
    bed.server.delete(&full("web"), None).await;
    let again = bed
        .server
        .until_pod(&full("web"), "there again", |pod| {
            uid(pod) != uid(&mirror) && container(pod, "main")["ready"] == true
        })
        .await;
    assert_eq!(bed.rig.runtime.starts("web-node", "main"), 1);
    bed.server.delete(&full("web"), Some(0)).await;
    let third = bed
        .server
        .until_pod(&full("web"), "there again", |pod| {
            uid(pod) != uid(&again) && container(pod, "main")["ready"] == true
        })
        .await;

    // Another manifest is another pod.
    bed.rig.put(
        &pod("web").container("main", &["run"]).with_metadata(&json!({"uid": null, "labels": {"v": "2"}})),
    );
    let fourth = bed
        .server
        .until_pod(&full("web"), "of the new manifest", |pod| {
            pod["metadata"]["labels"]["v"] == "2" && container(pod, "main")["ready"] == true
        })
        .await;
    assert_ne!(uid(&fourth), uid(&third));
    bed.rig.remove("web");
    bed.server.until_gone(&full("web")).await;
    bed.rig.until_gone("web").await;
    bed.rig.assert_proper();
}

#[tokio::test]
async fn a_static_pod_whose_manifest_is_back_runs_whatever_its_mirror_still_says() {
    let mut bed = ApiRig::start().await;
    bed.rig.put(&pod("web").container("main", &["run"]));
    bed.server.until_ready(&full("web")).await;
    bed.rig.kill();
    bed.rig.runtime.exit_container("web-node", "main", 137);
    bed.server.patch(&full("web"), Some("status"), json!({"status": {"phase": "Failed"}})).await;
    bed.rig.launch();
    bed.rig.until_store("it is started again", |store| store.starts("web-node", "main") == 2).await;
    let runs = |pod: &Value| pod["status"]["phase"] == "Running" && is_ready(pod);
    bed.server.until_pod(&full("web"), "shown as it runs", runs).await;
    bed.rig.assert_proper();
}

#[tokio::test]
async fn a_mirror_waits_for_its_namespace_and_an_orphan_goes() {
    let mut bed = ApiRig::start().await;
    bed.rig.put(&pod("there").container("main", &["run"]));
    bed.server.until_ready(&full("there")).await;
    bed.rig.kill();
    bed.rig.remove("there");
    bed.rig.launch();
    bed.server.until_gone(&full("there")).await;
    bed.rig.until_gone("there").await;

    let elsewhere = json!({"namespace": "later"});
    bed.rig.put(&pod("web").container("main", &["run"]).with_metadata(&elsewhere));
    bed.rig.until_ready("web").await;
    bed.rig
        .until_why("web", "what is missing", |why| why["failures"][0]["reason"] == "MirrorPodNotUpToDate")
        .await;
    bed.server.create_namespace("later").await;
    bed.server
        .until_pod_in("later", &full("web"), "shown", |pod| container(pod, "main")["ready"] == true)
        .await;
    bed.rig.assert_proper();
}

#[tokio::test]
async fn a_node_that_others_register_has_mirrors_too() {
    let mut bed = ApiRig::prepare("registerNode: false\n").await;
    bed.rig.put(&pod("web").container("main", &["run"]));
    bed.rig.launch();
    bed.rig.until_ready("web").await;
    assert_eq!(bed.server.pod_writes(), [""; 0], "nobody owns the mirror");
    bed.server.create_node().await;
    bed.server.until_ready(&full("web")).await;
    bed.rig.assert_proper();
}
