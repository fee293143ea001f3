//! Objects of the API server, as containers see them.

use kubeapi::{Client, Deletion, Kubeconfig, Limits, Metrics, Object, Options};
use serde_json::{Value, json};
use telemetry::metrics::Registry;
use testkit::pod::pod;
use tokio::time::{Instant, sleep};
use types::Pod;
use types::corev1::{ConfigMap, Secret};

use crate::rig::{FOREVER, Rig, deadline};

const NAMESPACE: Option<&str> = Some("default");

/// Somebody who may do everything with the rig's API server.
pub(crate) async fn administrator(rig: &Rig) -> Client {
    let path = rig.node.solo_dir().join("admin.kubeconfig");
    rig.until_machine("a kubeconfig", || path.exists()).await;
    let options = Options { user_agent: "tester".to_owned(), limits: Limits::default() };
    Client::new(Kubeconfig::read(&path).unwrap(), options, &Metrics::register(&Registry::new())).unwrap()
}

pub(crate) async fn create<K: Object>(admin: &Client, object: Value) {
    let object: K = serde_json::from_value(object).unwrap();
    admin.create(NAMESPACE, &object).await.unwrap();
}

#[tokio::test]
async fn real_objects_are_in_files_and_variables_and_files_follow() {
    let mut rig = Rig::solo().await;
    rig.until_up().await;
    let admin = administrator(&rig).await;
    create::<ConfigMap>(&admin, json!({"metadata": {"name": "settings"}, "data": {"level": "info"}})).await;
    create::<Secret>(&admin, json!({"metadata": {"name": "db"}, "stringData": {"password": "hunter2"}}))
        .await;

    let main = json!({
        "env": [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}],
        "volumeMounts": [
            {"name": "etc", "mountPath": "/etc/app"}, {"name": "etc", "mountPath": "/fixed", "subPath": "level"},
            {"name": "db", "mountPath": "/db"}, {"name": "access", "mountPath": "/access"}]});
    let spec = json!({
        "serviceAccountName": "default", "automountServiceAccountToken": false,
        "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000},
        "volumes": [
            {"name": "etc", "configMap": {"name": "settings", "defaultMode": 0o640}},
            {"name": "db", "secret": {"secretName": "db", "defaultMode": 0o400}},
            {"name": "access", "projected": {"sources": [
                {"serviceAccountToken": {"path": "token"}},
                {"configMap": {"name": "settings", "items": [{"key": "level", "path": "deep/level"}]}}]}}]});
    let web = pod("web").container("main", &FOREVER).with_container("main", &main).with_spec(&spec).build();
    let mut web = Pod::clone(&web);
    // The rig looks for pods by the names of static ones.
    (web.metadata.name, web.metadata.uid) = (Some(rig.full("web")), None);
    admin.create(NAMESPACE, &web).await.unwrap();

    let pod = rig.until_ready("web").await;
    assert_eq!(rig.sh(&pod, "main", "cat /etc/app/level /fixed /access/deep/level").await, "infoinfoinfo");
    assert_eq!(rig.sh(&pod, "main", "echo $PASSWORD; cat /db/password").await, "hunter2\nhunter2");
    for (file, mode) in
        [("/etc/app/level", "640 0 2000"), ("/db/password", "440 0 2000"), ("/access/token", "640 1000 2000")]
    {
        let stat = rig.sh(&pod, "main", &format!("stat -L -c '%a %u %g' {file}")).await;
        assert_eq!(stat.trim(), mode, "{file}");
    }
    let token = rig.sh(&pod, "main", "cat /access/token").await;
    assert_eq!(token.split('.').count(), 3, "a token has three parts");
    assert_ne!(rig.run(&pod, "main", "touch /etc/app/new").await.exit_code, 0, "the volume is read-only");
    let in_memory = rig.sh(&pod, "main", "grep -E ' /(db|access) ' /proc/mounts | cut -d ' ' -f 3").await;
    assert_eq!(in_memory, "tmpfs\ntmpfs\n");

    let patch = json!({"data": {"level": "debug"}});
    admin.patch::<ConfigMap>(NAMESPACE, "settings", None, &patch).await.unwrap();
    let give_up = Instant::now() + deadline();
    while rig.sh(&pod, "main", "cat /etc/app/level /access/deep/level").await != "debugdebug" {
        assert!(Instant::now() < give_up, "the change does not reach the container");
        sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(rig.sh(&pod, "main", "cat /fixed").await, "info", "a subPath is not followed");

    admin.delete::<Pod>(NAMESPACE, &rig.full("web"), &Deletion::default()).await.unwrap();
    rig.finish().await;
}
