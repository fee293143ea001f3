//! What the server asks nodes: a node of the test's own, which says back what it is asked, and counts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::rig::{Running, ask, client, settings, start, start_with};

pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";

/// Has `router` served as the API of the node `n1`, with the certificate and key of these files.
pub(crate) async fn serve(
    running: &Running,
    dir: &Path,
    files: &(PathBuf, PathBuf),
    router: Router,
) -> JoinHandle<()> {
    let (certificate, key) = (https::Pem::File(files.0.clone()), https::Pem::File(files.1.clone()));
    let tls = https::Tls::new(https::TlsPolicy::default(), certificate, key, None).unwrap();
    let listener = https::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let limits = https::Limits { grace: Duration::ZERO, ..https::Limits::default() };
    let served = https::serve(listener, Some(tls), router, limits, running.stop.clone());
    let admin = client(dir, Some("admin"));
    let mut object = json!({"metadata": {"name": "n1"}});
    let (code, _) = ask(running, &admin, "POST", "/api/v1/nodes", &object).await.unwrap();
    assert!(code == 201 || code == 409, "{code}");
    object["status"] = json!({"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}});
    assert_eq!(ask(running, &admin, "PUT", "/api/v1/nodes/n1/status", &object).await.unwrap().0, 200);
    tokio::spawn(served)
}

pub(crate) async fn create_pod(running: &Running, dir: &Path, name: &str) {
    let pod = json!({"metadata": {"name": name, "labels": {"app": name}},
        "spec": {"nodeName": "n1", "containers": [{"name": "a", "image": "i"}]}});
    let admin = client(dir, Some("admin"));
    assert_eq!(ask(running, &admin, "POST", PODS, &pod).await.unwrap().0, 201);
}

/// GETs JSON as the administrator.
async fn read(running: &Running, dir: &Path, path: &str) -> (u16, Value) {
    let (code, body) = ask(running, &client(dir, Some("admin")), "GET", path, &Value::Null).await.unwrap();
    (code, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn logs_are_what_the_node_answers() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let router = Router::new().fallback(|uri: http::Uri| async move { uri.to_string() });
    let node = serve(&running, dir.path(), &running.node, router).await;
    create_pod(&running, dir.path(), "p").await;
    let admin = client(dir.path(), Some("admin"));
    for (path, expected) in [
        (format!("{PODS}/p/log?follow=true"), "/containerLogs/default/p/a?follow=true"),
        ("/api/v1/nodes/n1/proxy/stats/summary?a=b".to_owned(), "/stats/summary?a=b"),
    ] {
        let (code, body) = ask(&running, &admin, "GET", &path, &Value::Null).await.unwrap();
        assert_eq!((code, &*body), (200, expected.as_bytes()));
    }
    running.stop().await;
    node.await.unwrap();
}

#[tokio::test]
async fn a_node_shows_a_certificate_for_its_name_or_the_one_that_is_known() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = https::self_signed(other.path(), "n1").unwrap();
    let mut settings = settings(dir.path());
    let router = Router::new().fallback(|| async { "\"here\"" });
    let proxy = "/api/v1/nodes/n1/proxy/";
    for given in [None, Some(own.0.clone())] {
        let is_known = given.is_some();
        settings.node_certificate = given;
        let running = start_with(&settings).await;
        let node = serve(&running, dir.path(), &own, router.clone()).await;
        let (code, answer) = read(&running, dir.path(), proxy).await;
        if is_known {
            assert_eq!((code, answer), (200, json!("here")));
        } else {
            let why = answer["message"].as_str().unwrap();
            assert!(code == 500 && why.contains("UnknownIssuer") && why.contains("tlsCertFile"), "{why}");
        }
        running.stop().await;
        node.await.unwrap();
    }
    // It is this server's authority that vouches for this one, but for another name.
    settings.node = "n2".to_owned();
    let running = start_with(&settings).await;
    let node = serve(&running, dir.path(), &running.node, router).await;
    let (code, answer) = read(&running, dir.path(), proxy).await;
    assert!(code == 500 && answer["message"].as_str().unwrap().contains("not valid for name"), "{answer}");
    running.stop().await;
    node.await.unwrap();
}

/// Counters of a node and of the pod `p` on it, of which half a core is used, second by second.
fn counters(second: u64) -> String {
    let (used, at) = (second as f64 / 2.0, 1_772_366_400_000 + second * 1000);
    let of = "{container=\"a\",namespace=\"default\",pod=\"p\"}";
    format!(
        "node_cpu_usage_seconds_total {used} {at}\nnode_memory_working_set_bytes 2097152 {at}\n\
         container_cpu_usage_seconds_total{of} {used} {at}\ncontainer_memory_working_set_bytes{of} 4096 {at}\n\
         container_start_time_seconds{of} 1.7723652e+09\n"
    )
}

#[tokio::test]
async fn what_is_used_is_what_the_node_counts() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let router = Router::new()
        .route("/metrics/resource", get(move || async move { counters(count.fetch_add(1, Relaxed)) }));
    let (_, groups) = read(&running, dir.path(), "/apis").await;
    assert!(groups["groups"].as_array().unwrap().iter().any(|group| group["name"] == "metrics.k8s.io"));
    let (code, status) = read(&running, dir.path(), &format!("{METRICS}/nodes/n1")).await;
    assert_eq!((code, &status["reason"]), (404, &json!("NotFound")), "{status}");
    assert_eq!(read(&running, dir.path(), &format!("{METRICS}/nodes")).await.1["items"], json!([]));

    let node = serve(&running, dir.path(), &running.node, router).await;
    create_pod(&running, dir.path(), "p").await;
    create_pod(&running, dir.path(), "other").await;
    // Nobody has asked before, so the node is read twice.
    let (code, metrics) = read(&running, dir.path(), &format!("{METRICS}/nodes/n1")).await;
    assert_eq!((code, asked.load(Relaxed)), (200, 2), "{metrics}");
    assert_eq!(metrics["usage"], json!({"cpu": "500m", "memory": "2Mi"}));
    let (_, list) = read(&running, dir.path(), &format!("{METRICS}/pods")).await;
    assert_eq!((asked.load(Relaxed), &list["kind"]), (3, &json!("PodMetricsList")), "{list}");
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "of `other` nothing runs");
    let used = json!([{"name": "a", "usage": {"cpu": "500m", "memory": "4Ki"}}]);
    let one = &list["items"][0];
    assert_eq!((&one["containers"], &one["metadata"]["labels"]), (&used, &json!({"app": "p"})));
    let path = |rest: &str| format!("{METRICS}/namespaces/default/pods{rest}");
    for (path, names) in [
        (path("?labelSelector=app%3Dp"), &["p"][..]),
        (path("?labelSelector=app%3Dother"), &[]),
        (path("?fieldSelector=metadata.name%3Dp"), &["p"]),
        (format!("{METRICS}/namespaces/kube-system/pods"), &[]),
        (format!("{METRICS}/nodes?labelSelector=a"), &[]),
    ] {
        let (code, list) = read(&running, dir.path(), &path).await;
        let items = list["items"].as_array().unwrap().iter();
        let found: Vec<&str> = items.map(|one| one["metadata"]["name"].as_str().unwrap()).collect();
        assert_eq!((code, &*found), (200, names), "{path}");
    }
    assert_eq!(read(&running, dir.path(), &path("/other")).await.0, 404);
    for (method, path) in [("GET", path("?watch=1")), ("DELETE", path("/p")), ("POST", path(""))] {
        let admin = client(dir.path(), Some("admin"));
        let (code, _) = ask(&running, &admin, method, &path, &Value::Null).await.unwrap();
        assert_eq!(code, 405, "{method} {path}");
    }
    let known = client(dir.path(), Some("node-n1"));
    let (code, _) = ask(&running, &known, "GET", &path("/p"), &Value::Null).await.unwrap();
    assert_eq!(code, 403, "a node is told nothing of pods");
    running.stop().await;
    node.await.unwrap();
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let admin = client(dir.path(), Some("admin"));
    let object = json!({"metadata": {"name": "n1"}});
    assert_eq!(ask(&running, &admin, "POST", "/api/v1/nodes", &object).await.unwrap().0, 201);
    let (code, status) = read(&running, dir.path(), &format!("{METRICS}/nodes")).await;
    assert_eq!((code, &status["reason"]), (503, &json!("ServiceUnavailable")));
    assert!(status["message"].as_str().unwrap().contains("does not say where its API is"), "{status}");
    running.stop().await;
}
