use super::*;

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn nobody_unknown_gets_in() {
    let server = Server::new().await;
    for path in ["/healthz", "/livez", "/readyz", "/version"] {
        assert_eq!(server.by(None, Method::GET, path, Value::Null).await.0, StatusCode::OK, "{path}");
    }
    for path in ["/api", "/apis", "/api/v1/pods", "/openapi/v2", "/metrics", "/"] {
        let (code, status) = server.by(None, Method::GET, path, Value::Null).await;
        assert_eq!((code, &status["reason"]), (StatusCode::UNAUTHORIZED, &json!("Unauthorized")), "{path}");
    }
    let request =
        Request::get("/api").header(header::AUTHORIZATION, "Bearer nonsense").body(Body::empty()).unwrap();
    assert_eq!(server.send(None, request).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_node_does_what_a_kubelet_does() {
    let server = Server::new().await;
    let by = async |method, path: &str, body| server.by(node("n1"), method, path, body).await.0;
    let object = json!({"metadata": {"name": "n1"}, "status": {"capacity": {"cpu": "2"}}});
    assert_eq!(by(Method::POST, "/api/v1/nodes", object.clone()).await, StatusCode::CREATED);
    assert_eq!(server.get("/api/v1/nodes/n1").await.1["status"]["capacity"]["cpu"], "2");
    let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    assert_eq!(by(Method::PATCH, "/api/v1/nodes/n1/status", ready).await, StatusCode::OK);
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    assert_eq!(by(Method::POST, leases, json!({"metadata": {"name": "n1"}})).await, StatusCode::CREATED);

    let mut with_secret = pod("web");
    with_secret["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "s"}}]);
    server.post("/api/v1/namespaces/default/secrets", json!({"metadata": {"name": "s"}})).await;
    assert_eq!(server.post(PODS, with_secret).await.0, StatusCode::CREATED);
    assert_eq!(by(Method::GET, "/api/v1/namespaces/default/secrets/s", Value::Null).await, StatusCode::OK);
    let one = "/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Ds";
    assert_eq!(by(Method::GET, one, Value::Null).await, StatusCode::OK);
    assert_eq!(
        by(Method::GET, "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", Value::Null).await,
        StatusCode::OK
    );
    assert_eq!(
        by(Method::PATCH, &format!("{PODS}/web/status"), json!({"status": {"phase": "Running"}})).await,
        StatusCode::OK
    );
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default", "name": "web"}});
    assert_eq!(by(Method::POST, "/api/v1/namespaces/default/events", event).await, StatusCode::CREATED);
    server.delete(&format!("{PODS}/web")).await;
    assert_eq!(
        by(Method::DELETE, &format!("{PODS}/web"), json!({"gracePeriodSeconds": 0})).await,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_node_does_nothing_else() {
    let server = Server::new().await;
    server.with_node().await;
    server.with_pod("web").await;
    server.post("/api/v1/namespaces/default/secrets", json!({"metadata": {"name": "s"}})).await;
    for (method, path, body) in [
        (Method::GET, "/api/v1/namespaces/default/secrets/s".to_owned(), Value::Null),
        (Method::GET, "/api/v1/secrets".to_owned(), Value::Null),
        (Method::GET, "/api/v1/pods".to_owned(), Value::Null),
        (Method::GET, "/api/v1/nodes/n1".to_owned(), Value::Null),
        (Method::GET, format!("{PODS}/web"), Value::Null),
        (Method::POST, "/api/v1/nodes".to_owned(), json!({"metadata": {"name": "n3"}})),
        (Method::POST, PODS.to_owned(), pod("mine")),
        (Method::PATCH, format!("{PODS}/web/status"), json!({"status": {"phase": "Failed"}})),
        (Method::DELETE, format!("{PODS}/web"), Value::Null),
        (Method::POST, format!("{PODS}/web/eviction"), json!({})),
        (
            Method::POST,
            "/api/v1/namespaces/default/serviceaccounts/default/token".to_owned(),
            json!({"spec": {}}),
        ),
        (Method::POST, "/api/v1/namespaces".to_owned(), json!({"metadata": {"name": "x"}})),
    ] {
        let (code, status) = server.by(node("n2"), method.clone(), &path, body).await;
        assert_eq!(
            (code, &status["reason"]),
            (StatusCode::FORBIDDEN, &json!("Forbidden")),
            "{method} {path}"
        );
    }
    let (_, status) = server.by(node("n2"), Method::GET, "/api/v1/pods", Value::Null).await;
    let message = status["message"].as_str().unwrap();
    assert!(message.starts_with("pods is forbidden: User \"system:node:n2\" cannot list resource \"pods\" in API group \"\" at the cluster scope"), "{message}");
    let (code, _) = server
        .by(
            node("n1"),
            Method::PATCH,
            "/api/v1/nodes/n1",
            json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}),
        )
        .await;
    assert_eq!(code, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_node_shows_its_static_pods() {
    let server = Server::new().await;
    server.with_node().await;
    let (_, object) = server.get("/api/v1/nodes/n1").await;
    let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": object["metadata"]["uid"], "controller": true}]);
    let mut mirror = pod("static-n1");
    mirror["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "hash"});
    mirror["spec"]["nodeName"] = "n1".into();
    assert_eq!(server.by(node("n1"), Method::POST, PODS, mirror.clone()).await.0, StatusCode::FORBIDDEN);
    mirror["metadata"]["ownerReferences"] = owner;
    assert_eq!(server.by(node("n2"), Method::POST, PODS, mirror.clone()).await.0, StatusCode::FORBIDDEN);
    let mut with_secret = mirror.clone();
    with_secret["spec"]["volumes"] = json!([{"name": "v", "secret": {"secretName": "s"}}]);
    assert_eq!(server.by(node("n1"), Method::POST, PODS, with_secret).await.0, StatusCode::FORBIDDEN);
    let (code, created) = server.by(node("n1"), Method::POST, PODS, mirror).await;
    assert_eq!(code, StatusCode::CREATED, "{created}");
    // It gets no token, and opens nothing to its node.
    assert!(created["spec"].get("volumes").is_none() && created["spec"].get("serviceAccountName").is_none());
}

#[tokio::test]
async fn reviews() {
    let server = Server::new().await;
    let path = "/apis/authorization.k8s.io/v1";
    let ask = json!({"spec": {"user": "system:node:n1", "groups": ["system:nodes"],
        "resourceAttributes": {"verb": "get", "resource": "nodes", "name": "n1"}}});
    let (code, answer) = server.post(&format!("{path}/subjectaccessreviews"), ask).await;
    assert_eq!((code, &answer["status"]["allowed"]), (StatusCode::CREATED, &json!(true)));
    let ask =
        json!({"spec": {"user": "somebody", "nonResourceAttributes": {"verb": "get", "path": "/metrics"}}});
    let (_, answer) = server.post(&format!("{path}/subjectaccessreviews"), ask).await;
    assert_eq!(answer["status"]["allowed"], false);
    let own = json!({"spec": {"resourceAttributes": {"verb": "list", "resource": "pods"}}});
    for (user, allowed) in [(admin(), true), (node("n1"), false)] {
        let (_, answer) =
            server.by(user, Method::POST, &format!("{path}/selfsubjectaccessreviews"), own.clone()).await;
        assert_eq!(answer["status"]["allowed"], allowed);
    }
    let (_, who) = server.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json!({})).await;
    assert_eq!(who["status"]["userInfo"]["username"], "admin");
    assert_eq!(server.get(&format!("{path}/subjectaccessreviews")).await.0, StatusCode::METHOD_NOT_ALLOWED);
}
