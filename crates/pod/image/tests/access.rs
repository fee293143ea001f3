//! Who may use an image that is on the node, and what is on disk about it.

#![allow(clippy::unwrap_used, reason = "it is a test")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{APP, LONG, Node, node_on, pod, request};
use image::policy::PullPolicy::{IfNotPresent, Never};
use image::{Options, Verification};
use serde_json::{Value, json};
use testkit::fake::{FakeRuntime, Fault, Match};
use tonic::Code;
use types::corev1::Secret;
use types::k8s::ByteString;

/// A node that looks after what kubelets pulled, with its records in `root`.
async fn node(root: &Path) -> Node {
    on(FakeRuntime::start().await.unwrap(), root)
}

fn on(fake: FakeRuntime, root: &Path) -> Node {
    node_on(fake, Options::default(), Some((root, Verification::Pulled)))
}

/// The records in `image_manager/DIR`.
fn records(root: &Path, dir: &str) -> Vec<Value> {
    let entries = fs::read_dir(root.join("image_manager").join(dir)).unwrap();
    entries.map(|entry| serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap()).collect()
}

/// Makes the record of the image `image_ref` one that only pods with a certain secret may use.
fn keep_for_a_secret(root: &Path) {
    let dir = root.join("image_manager/pulled");
    let path = fs::read_dir(dir).unwrap().next().unwrap().unwrap().path();
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let secret = json!({"uid": "u", "namespace": "n", "name": "s", "credentialHash": "h"});
    record["credentialMapping"] = json!({"registry.example/app": {"kubernetesSecrets": [secret]}});
    fs::write(path, record.to_string()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_the_node_pulled_its_pods_may_use() {
    let root = tempfile::tempdir().unwrap();
    let mut node = node(root.path()).await;
    let pulled = node.images.ensure(&request(&pod("a"), APP, IfNotPresent)).await.unwrap();
    let found = records(root.path(), "pulled");
    assert_eq!(found[0]["imageRef"], json!(pulled.image_ref));
    assert_eq!(found[0]["credentialMapping"], json!({"registry.example/app": {"nodePodsAccessible": true}}));
    assert_eq!(records(root.path(), "pulling"), Vec::<Value>::new());
    node.events();
    node.images.ensure(&request(&pod("b"), APP, Never)).await.unwrap();
    assert_eq!(
        node.events(),
        [
            "Normal Pulled spec.containers{app}: Container image \"registry.example/app:1\" already present on machine and can be accessed by the pod"
        ]
    );
    assert_eq!(node.fake.calls("PullImage"), 1);
    assert_eq!(
        node.metric("kubelet_imagemanager_"),
        [
            "kubelet_imagemanager_image_mustpull_checks_total{result=\"credentialRecordFound\"} 1",
            "kubelet_imagemanager_ondisk_pulledrecords 1",
            "kubelet_imagemanager_ondisk_pullintents 0",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_pulled_with_a_secret_is_asked_for_again() {
    let root = tempfile::tempdir().unwrap();
    let node = node(root.path()).await;
    node.images.ensure(&request(&pod("a"), APP, IfNotPresent)).await.unwrap();
    keep_for_a_secret(root.path());
    let error = node.images.ensure(&request(&pod("b"), APP, Never)).await.unwrap_err();
    assert_eq!(error.reason, "ErrImageNeverPull", "as if the image were not there");
    let fault = Fault::Fail(Code::PermissionDenied, "denied".into());
    let denied = node.fake.fault(Match::call("PullImage"), fault);
    let error = node.images.ensure(&request(&pod("b"), APP, IfNotPresent)).await.unwrap_err();
    assert_eq!(error.reason, "ErrImagePull");
    assert_eq!(records(root.path(), "pulling"), Vec::<Value>::new(), "the pull is over");
    drop(denied);
    // Another pod, which has no back-off to wait for.
    node.images.ensure(&request(&pod("c"), APP, IfNotPresent)).await.unwrap();
    node.images.ensure(&request(&pod("b"), APP, Never)).await.unwrap();
    let found = records(root.path(), "pulled");
    assert_eq!(found[0]["credentialMapping"], json!({"registry.example/app": {"nodePodsAccessible": true}}));
}

/// A pull secret of the namespace `n` with one user of the registry of [`APP`].
fn pull_secret(name: &str, user: &str) -> Arc<Secret> {
    let config = json!({"auths": {"registry.example": {"username": user, "password": "p"}}}).to_string();
    let meta = json!({"namespace": "n", "name": name, "uid": format!("uid-{name}")});
    let mut secret: Secret =
        serde_json::from_value(json!({"metadata": meta, "type": "kubernetes.io/dockerconfigjson"})).unwrap();
    secret.data = Some([(".dockerconfigjson".to_owned(), ByteString(config.into_bytes()))].into());
    Arc::new(secret)
}

#[tokio::test(start_paused = true)]
async fn what_was_pulled_with_a_secret_is_for_pods_that_have_it() {
    let root = tempfile::tempdir().unwrap();
    let mut node = node(root.path()).await;
    let (mine, same, other) = ([pull_secret("s", "u")], [pull_secret("t", "u")], [pull_secret("o", "v")]);
    let (a, b) = (pod("a"), pod("b"));
    let with = |pod, secrets, policy| image::Request { pull_secrets: secrets, ..request(pod, APP, policy) };
    node.images.ensure(&with(&a, &mine, IfNotPresent)).await.unwrap();
    let users = |records: Vec<Value>| records[0]["credentialMapping"]["registry.example/app"].clone();
    let recorded = users(records(root.path(), "pulled"));
    assert_eq!(recorded["kubernetesSecrets"][0]["name"], "s");
    assert_eq!(recorded.get("nodePodsAccessible"), None);

    for (secrets, allowed) in [(&mine[..], true), (&same, true), (&other, false), (&[], false)] {
        let ensured = node.images.ensure(&with(&b, secrets, Never)).await;
        assert_eq!(ensured.is_ok(), allowed, "{:?}", secrets.first().map(|s| &s.metadata.name));
    }
    assert_eq!(node.fake.calls("PullImage"), 1);
    let recorded = users(records(root.path(), "pulled"));
    assert_eq!(
        recorded["kubernetesSecrets"].as_array().unwrap().len(),
        2,
        "the same credential under another name"
    );

    // Whoever pulls it without a Secret opens it to all.
    node.events();
    node.images.ensure(&with(&b, &[], IfNotPresent)).await.unwrap();
    assert_eq!(users(records(root.path(), "pulled")), json!({"nodePodsAccessible": true}));
}

#[tokio::test(start_paused = true)]
async fn what_no_kubelet_pulled_everybody_may_use() {
    let root = tempfile::tempdir().unwrap();
    let node = node(root.path()).await;
    node.fake.add_image(APP, 1, false);
    node.images.ensure(&request(&pod("a"), APP, Never)).await.unwrap();
    assert_eq!(node.fake.calls("PullImage"), 0);
    let allowed = "kubelet_imagemanager_image_mustpull_checks_total{result=\"credentialPolicyAllowed\"} 1";
    assert_eq!(node.metric("kubelet_imagemanager_image"), [allowed]);
}

#[tokio::test(start_paused = true)]
async fn a_pull_that_a_crash_cut_off_is_settled_by_the_next_run() {
    let root = tempfile::tempdir().unwrap();
    let first = node(root.path()).await;
    let _hangs = first.fake.fault(Match::call("PullImage"), Fault::Hang);
    let images = first.images.clone();
    let waiting = tokio::spawn(async move { images.ensure(&request(&pod("a"), APP, IfNotPresent)).await });
    first.fake.wait_for("a pull", LONG, |store| store.calls("PullImage") == 1).await.unwrap();
    assert_eq!(records(root.path(), "pulling")[0]["image"], APP);
    // What a crash at this point leaves; the runtime got the image all the same.
    let left = tempfile::tempdir().unwrap();
    for dir in ["image_manager/pulling", "image_manager/pulled"] {
        fs::create_dir_all(left.path().join(dir)).unwrap();
        for entry in fs::read_dir(root.path().join(dir)).unwrap() {
            let from = entry.unwrap().path();
            fs::copy(&from, left.path().join(dir).join(from.file_name().unwrap())).unwrap();
        }
    }
    waiting.abort();
    let root = left;
    let fake = FakeRuntime::start().await.unwrap();
    fake.add_image(APP, 1, false);

    let second = on(fake, root.path());
    let error = second.images.ensure(&request(&pod("b"), APP, Never)).await.unwrap_err();
    assert_eq!(error.reason, "ErrImageNeverPull");
    let found = records(root.path(), "pulled");
    assert_eq!((found.len(), found[0].get("credentialMapping")), (1, None));
    assert_eq!(records(root.path(), "pulling"), Vec::<Value>::new());
    second.images.ensure(&request(&pod("c"), APP, IfNotPresent)).await.unwrap();
    assert_eq!(second.fake.calls("PullImage"), 1);
}

#[tokio::test(start_paused = true)]
async fn records_that_cannot_be_read_mean_a_pull() {
    let root = tempfile::tempdir().unwrap();
    let node = node(root.path()).await;
    node.images.ensure(&request(&pod("a"), APP, IfNotPresent)).await.unwrap();
    let path =
        fs::read_dir(root.path().join("image_manager/pulled")).unwrap().next().unwrap().unwrap().path();
    fs::write(path, "{").unwrap();
    node.images.ensure(&request(&pod("b"), APP, IfNotPresent)).await.unwrap();
    assert_eq!(node.fake.calls("PullImage"), 2);
    node.images.ensure(&request(&pod("b"), APP, IfNotPresent)).await.unwrap();
    assert_eq!(node.fake.calls("PullImage"), 2, "the record is whole again");
}
