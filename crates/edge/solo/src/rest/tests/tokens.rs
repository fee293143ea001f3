use super::*;

const ACCOUNT: &str = "/api/v1/namespaces/default/serviceaccounts/default/token";

#[tokio::test]
async fn a_token_is_made_for_a_pod_and_known_again() {
    let server = Server::new().await;
    server.with_node().await;
    let pod = server.with_pod("web").await;
    let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": pod["metadata"]["uid"]});
    let ask = |audiences: Value, bound: &Value| json!({"spec": {"audiences": audiences, "expirationSeconds": 600, "boundObjectRef": bound}});
    let (code, made) = server.by(node("n1"), Method::POST, ACCOUNT, ask(json!(["vault"]), &bound)).await;
    assert_eq!(code, StatusCode::CREATED, "{made}");
    assert!(made["status"]["expirationTimestamp"].is_string());
    let token = made["status"]["token"].as_str().unwrap();

    let review = async |token: &str, audiences: Value| {
        let body = json!({"spec": {"token": token, "audiences": audiences}});
        server.post("/apis/authentication.k8s.io/v1/tokenreviews", body).await.1["status"].clone()
    };
    let status = review(token, json!(["vault", "other"])).await;
    assert_eq!((&status["authenticated"], &status["audiences"]), (&json!(true), &json!(["vault"])));
    assert_eq!(status["user"]["username"], "system:serviceaccount:default:default");
    assert_eq!(status["user"]["extra"]["authentication.kubernetes.io/pod-name"], json!(["web"]));
    assert_eq!(review(token, json!([])).await["authenticated"], false);

    let (_, own) = server.by(node("n1"), Method::POST, ACCOUNT, ask(json!([]), &bound)).await;
    let token = own["status"]["token"].as_str().unwrap().to_owned();
    let with_token = async |path: &str| {
        let request = Request::get(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        server.send(None, request.body(Body::empty()).unwrap()).await.status()
    };
    assert_eq!(with_token("/api").await, StatusCode::OK);
    assert_eq!(with_token("/api/v1/namespaces/default/pods").await, StatusCode::FORBIDDEN);
    server.delete("/api/v1/namespaces/default/pods/web?gracePeriodSeconds=0").await;
    assert_eq!(with_token("/api").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_is_no_request_for_a_token() {
    let server = Server::new().await;
    server.with_node().await;
    server.with_pod("web").await;
    let post = async |user, spec| server.by(user, Method::POST, ACCOUNT, json!({"spec": spec})).await.0;
    assert_eq!(post(admin(), json!({"expirationSeconds": 10})).await, StatusCode::UNPROCESSABLE_ENTITY);
    let reference = |kind: &str, uid: &str| json!({"boundObjectRef": {"apiVersion": "v1", "kind": kind, "name": "web", "uid": uid}});
    assert_eq!(post(admin(), reference("Pod", "another")).await, StatusCode::CONFLICT);
    assert_eq!(post(admin(), reference("Service", "")).await, StatusCode::BAD_REQUEST);
    assert_eq!(post(admin(), reference("Secret", "")).await, StatusCode::NOT_FOUND);
    // A node has to say for which of its pods.
    assert_eq!(post(node("n1"), json!({})).await, StatusCode::FORBIDDEN);
    assert_eq!(post(admin(), json!({})).await, StatusCode::CREATED);
}
