use super::*;

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn a_pod_gets_its_grace_period() {
    let server = Server::new().await;
    server.with_node().await;
    let uid = server.with_pod("web").await["metadata"]["uid"].clone();
    let path = &format!("{PODS}/web");
    let (code, deleting) = server.delete(path).await;
    assert_eq!((code, &deleting["metadata"]["deletionGracePeriodSeconds"]), (StatusCode::OK, &json!(30)));
    assert!(deleting["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(deleting["metadata"]["generation"], 2);
    // It can be hastened, not slowed down.
    let (_, longer) = server.delete(&format!("{path}?gracePeriodSeconds=60")).await;
    assert_eq!(longer["metadata"]["deletionGracePeriodSeconds"], 30);
    let (_, shorter) = server.delete(&format!("{path}?gracePeriodSeconds=5")).await;
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    // The node says that it is over, of this very pod.
    let over = |uid: &Value| json!({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}});
    let (code, _) = server.by(admin(), Method::DELETE, path, over(&json!("another"))).await;
    assert_eq!(code, StatusCode::CONFLICT);
    let (code, _) = server.by(admin(), Method::DELETE, path, over(&uid)).await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(server.get(path).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_pod_that_runs_nowhere_or_has_ended_goes_at_once() {
    let server = Server::new().await;
    server.with_pod("nowhere").await;
    server.delete(&format!("{PODS}/nowhere")).await;
    assert_eq!(server.get(&format!("{PODS}/nowhere")).await.0, StatusCode::NOT_FOUND);
    server.with_node().await;
    server.with_pod("ended").await;
    server.patch(&format!("{PODS}/ended/status"), json!({"status": {"phase": "Succeeded"}})).await;
    server.delete(&format!("{PODS}/ended")).await;
    assert_eq!(server.get(&format!("{PODS}/ended")).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn finalizers_hold_an_object() {
    let server = Server::new().await;
    let maps = "/api/v1/namespaces/default/configmaps";
    server.post(maps, json!({"metadata": {"name": "c", "finalizers": ["x.io/a"]}})).await;
    let path = &format!("{maps}/c");
    let (code, waits) = server.delete(path).await;
    assert_eq!(code, StatusCode::OK);
    assert!(waits["metadata"]["deletionTimestamp"].is_string());
    // Nobody takes a deletion back.
    let (_, still) = server
        .typed(
            admin(),
            Method::PATCH,
            path,
            "application/merge-patch+json",
            json!({"metadata": {"deletionTimestamp": null}}),
        )
        .await;
    assert!(still["metadata"]["deletionTimestamp"].is_string());
    server
        .typed(
            admin(),
            Method::PATCH,
            path,
            "application/merge-patch+json",
            json!({"metadata": {"finalizers": null}}),
        )
        .await;
    assert_eq!(server.get(path).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_eviction_is_a_deletion() {
    let server = Server::new().await;
    server.with_node().await;
    server.with_pod("web").await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}, "deleteOptions": {"gracePeriodSeconds": 7}});
    let (code, _) = server.post(&format!("{PODS}/web/eviction"), eviction).await;
    assert_eq!(code, StatusCode::CREATED);
    assert_eq!(server.get(&format!("{PODS}/web")).await.1["metadata"]["deletionGracePeriodSeconds"], 7);
}

#[tokio::test]
async fn collections_are_deleted_by_selector() {
    let server = Server::new().await;
    for name in ["a", "b", "c"] {
        server.with_pod(name).await;
    }
    let (code, gone) = server.delete(&format!("{PODS}?labelSelector=app+in+(a,b)")).await;
    assert_eq!((code, names(&gone)), (StatusCode::OK, vec!["a", "b"]));
    assert_eq!(names(&server.get(PODS).await.1), ["c"]);
}

#[tokio::test]
async fn a_namespace_is_emptied_and_ends() {
    let server = Server::new().await;
    let control = server.control();
    server.with_node().await;
    server.post("/api/v1/namespaces", json!({"metadata": {"name": "team"}})).await;
    let pods = "/api/v1/namespaces/team/pods";
    assert_eq!(server.post(pods, pod("web")).await.0, StatusCode::CREATED);
    let (code, _) = server.delete("/api/v1/namespaces/team").await;
    assert_eq!(code, StatusCode::OK);
    server.until("/api/v1/namespaces/team/configmaps", |_, list| list["items"] == json!([])).await;
    // The pod is being stopped; until it has, the namespace stays and takes nothing new.
    assert_eq!(server.get("/api/v1/namespaces/team").await.1["status"]["phase"], "Terminating");
    let (code, status) =
        server.post("/api/v1/namespaces/team/configmaps", json!({"metadata": {"name": "c"}})).await;
    assert_eq!(
        (code, &status["details"]["causes"][0]["reason"]),
        (StatusCode::FORBIDDEN, &json!("NamespaceTerminating"))
    );
    server.until(&format!("{pods}/web"), |_, pod| crate::object::is_deleting(pod)).await;
    server.delete(&format!("{pods}/web?gracePeriodSeconds=0")).await;
    server.until("/api/v1/namespaces/team", |code, _| code == StatusCode::NOT_FOUND).await;
    let (code, _) = server.delete("/api/v1/namespaces/kube-system").await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    control.abort();
}
