//! One pod in the place of another: changed, added again, or of the same name.

use std::time::Duration;

use serde_json::json;
use testkit::fake::Script;
use testkit::pod::pod;

use crate::rig::{Rig, is_ready};

const UID: &str = "11111111-2222-4333-8444-555555555555";

#[tokio::test]
async fn a_changed_image_under_the_same_uid_restarts_its_container_only() {
    let rig = Rig::start().await;
    let uid = json!({"uid": UID});
    let web = pod("web").container("app", &["httpd"]).container("cache", &["redis"]);
    let with_uid = |manifest: String| {
        let mut value: serde_json::Value = serde_json::from_str(&manifest).unwrap();
        value["metadata"]["uid"] = uid["uid"].clone();
        value.to_string()
    };
    rig.put_file("web.json", with_uid(web.manifest()));
    rig.until_ready("web").await;
    rig.runtime.clear_journal();
    let changed = web.with_container("app", &json!({"image": "registry.example/web:2"}));
    rig.put_file("web.json", with_uid(changed.manifest()));
    rig.until_store("app runs the new image", |store| {
        let app = store.container("web-node", "app");
        app.is_some_and(|app| {
            app.is_running()
                && app
                    .config
                    .image
                    .as_ref()
                    .is_some_and(|i| i.user_specified_image == "registry.example/web:2")
        })
    })
    .await;
    rig.until_ready("web").await;
    let expected = ["StopContainer app", "CreateContainer app", "StartContainer app"];
    assert_eq!(rig.journal("web"), expected);
    rig.assert_proper();
}

#[tokio::test]
async fn a_changed_manifest_is_another_pod_that_comes_after_the_old_one() {
    let rig = Rig::start().await;
    rig.runtime.script(None, "main", Script { stops_after: Duration::from_millis(300), ..Script::default() });
    rig.put(&pod("web"));
    let old = rig.until_ready("web").await;
    rig.runtime.clear_journal();
    rig.put(&pod("web").with_metadata(&json!({"labels": {"version": "2"}})));
    rig.until_why("web", "waits for the older one", |_| true).await;
    let new = rig
        .until_pod("web", "the new one is ready", |pod| {
            is_ready(pod) && pod["metadata"]["uid"] != old["metadata"]["uid"]
        })
        .await;
    let journal = rig.journal("web");
    let at = |call: &str| journal.iter().position(|made| made.starts_with(call)).unwrap();
    assert!(at("StopContainer") < at("RunPodSandbox"), "{journal:?}");
    rig.until_store("nothing is left of the old one", |store| {
        store.sandboxes("web-node").iter().all(|s| s.uid() == new["metadata"]["uid"])
    })
    .await;
    rig.assert_proper();
}

#[tokio::test]
async fn a_pod_added_again_while_it_stops_starts_afresh() {
    let rig = Rig::start().await;
    rig.runtime.script(None, "main", Script { stops_after: Duration::from_millis(300), ..Script::default() });
    let web = pod("web");
    rig.put(&web);
    let first = rig.until_ready("web").await;
    rig.remove("web");
    rig.until_store("it is being stopped", |store| {
        store.journal().iter().any(|call| call.call == "StopContainer")
    })
    .await;
    rig.put(&web);
    rig.until_store("it runs in a sandbox of its own", |store| {
        store.calls("RunPodSandbox") == 2 && store.is_running("web-node", "main")
    })
    .await;
    let again = rig.until_ready("web").await;
    assert_eq!(first["metadata"]["uid"], again["metadata"]["uid"]);
    assert_eq!(again["status"]["containerStatuses"][0]["restartCount"], 0);
    rig.assert_proper();
}

#[tokio::test]
async fn of_two_pods_of_one_name_the_first_runs_and_the_other_is_named() {
    let rig = Rig::start().await;
    rig.put_file("a.json", pod("web").manifest());
    let first = rig.until_ready("web").await;
    rig.put_file("b.json", pod("web").with_metadata(&json!({"labels": {"from": "b"}})).manifest());
    let problems = rig.until_problems("the duplicate", |all| all[0]["reason"] == "Duplicate").await;
    assert!(problems[0]["origin"].as_str().unwrap().ends_with("b.json"), "{problems}");
    assert!(problems[0]["message"].as_str().unwrap().contains("a.json"), "{problems}");
    assert_eq!(rig.pod("web").await["metadata"]["uid"], first["metadata"]["uid"]);

    std::fs::remove_file(rig.manifests().join("a.json")).unwrap();
    rig.until_pod("web", "the other takes its place", |pod| {
        is_ready(pod) && pod["metadata"]["labels"]["from"] == "b"
    })
    .await;
    rig.until_problems("none", |all| all == &json!([])).await;
    rig.assert_proper();
}
