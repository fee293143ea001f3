//! Images that cannot be had.

use serde_json::json;
use testkit::containerd::BUSYBOX;
use testkit::pod::pod;

use crate::rig::{Rig, container};

#[tokio::test]
async fn an_image_that_cannot_be_pulled_holds_up_its_container_only() {
    let rig = Rig::start().await;
    rig.runtime.set_pullable(&[BUSYBOX]);
    rig.put(
        &pod("broken")
            .container("lost", &["run"])
            .with_container("lost", &json!({"image": "registry.example/none:1"}))
            .container("good", &["run"]),
    );
    let failed = rig
        .until_pod("broken", "the failed pull", |pod| {
            let reason = container(pod, "lost")["state"]["waiting"]["reason"].as_str().unwrap_or_default();
            ["ErrImagePull", "ImagePullBackOff"].contains(&reason)
        })
        .await;
    let message = container(&failed, "lost")["state"]["waiting"]["message"].to_string();
    assert!(message.contains("registry.example/none:1"), "{message}");
    rig.until_store("the other runs", |store| store.is_running("broken-node", "good")).await;
    let why = rig.until_why("broken", "the failure", |why| why["failures"][0]["container"] == "lost").await;
    assert!(why["advice"].as_str().unwrap().contains("registry"), "{why}");
    rig.assert_proper();
}

#[tokio::test]
async fn an_image_that_must_not_be_pulled_is_not() {
    let rig = Rig::start().await;
    rig.put(
        &pod("local").container("app", &["run"]).with_container("app", &json!({"imagePullPolicy": "Never"})),
    );
    rig.until_pod("local", "the refusal", |pod| {
        container(pod, "app")["state"]["waiting"]["reason"] == "ErrImageNeverPull"
    })
    .await;
    assert_eq!(rig.runtime.calls("PullImage"), 0);
    rig.assert_proper();
}

#[tokio::test]
async fn pods_with_the_same_image_share_one_pull() {
    let rig = Rig::start().await;
    let pull = testkit::fake::Match::call("PullImage");
    let hang = rig.runtime.fault(pull, testkit::fake::Fault::Hang);
    for name in ["a", "b", "c"] {
        rig.put(&pod(name));
    }
    for name in ["a", "b", "c"] {
        rig.until_why(name, "pulls", |why| why["step"] == "Image").await;
    }
    drop(hang);
    for name in ["a", "b", "c"] {
        rig.until_ready(name).await;
    }
    assert_eq!(rig.runtime.calls("PullImage"), 1);
    rig.assert_proper();
}
