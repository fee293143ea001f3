//! Who gets in by which certificate, and what a restart leaves as it was.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use solo::{Solo, SoloError};

use crate::rig::{ask, client, settings, start};

#[tokio::test]
async fn certificates_tell_who_asks() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let (admin, node) = (client(dir.path(), Some("admin")), client(dir.path(), Some("node-n1")));
    let nobody = client(dir.path(), None);
    for (client, path, code) in [
        (&admin, "/api/v1/secrets", 200),
        (&node, "/api/v1/secrets", 403),
        (&node, "/api/v1/services", 200),
        (&nobody, "/api/v1/services", 401),
        (&nobody, "/api", 401),
        (&nobody, "/healthz", 200),
    ] {
        assert_eq!(ask(&running, client, "GET", path, &Value::Null).await.unwrap().0, code, "{path}");
    }
    // A certificate of somebody else's authority is as good as none.
    let other = tempfile::tempdir().unwrap();
    start(other.path()).await.stop().await;
    std::fs::copy(dir.path().join("pki/ca.crt"), other.path().join("pki/ca.crt")).unwrap();
    let foreign = client(other.path(), Some("admin"));
    for (path, code) in [("/api/v1/secrets", 401), ("/healthz", 200)] {
        assert_eq!(ask(&running, &foreign, "GET", path, &Value::Null).await.unwrap().0, code, "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn what_is_secret_is_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("solo");
    start(&own).await.stop().await;
    let mode = |path: &str| own.join(path).metadata().unwrap().permissions().mode() & 0o777;
    for path in
        ["admin.kubeconfig", "node.kubeconfig", "store.redb", "pki/ca.key", "pki/sa.key", "pki/admin.key"]
    {
        assert_eq!(mode(path), 0o600, "{path}");
    }
    assert_eq!((mode(""), mode("pki")), (0o700, 0o700));
}

#[tokio::test]
async fn a_restart_leaves_everything_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let admin = client(dir.path(), Some("admin"));
    let map = json!({"metadata": {"name": "c"}, "data": {"a": "b"}});
    let path = "/api/v1/namespaces/default/configmaps";
    assert_eq!(ask(&running, &admin, "POST", path, &map).await.unwrap().0, 201);
    let before = ask(&running, &admin, "GET", "/api/v1/configmaps", &Value::Null).await.unwrap().1;
    running.stop().await;
    let running = start(dir.path()).await;
    let after = ask(&running, &admin, "GET", "/api/v1/configmaps", &Value::Null).await.unwrap().1;
    assert_eq!(before, after);
    running.stop().await;
}

#[tokio::test]
async fn one_store_has_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    assert!(matches!(Solo::open(&settings(dir.path())).await, Err(SoloError::Disk(_))));
    running.stop().await;
}
