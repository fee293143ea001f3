use super::*;

const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn a_pod_is_defaulted_and_bound() {
    let server = Server::new().await;
    server.with_node().await;
    let pod = server.with_pod("web").await;
    let spec = &pod["spec"];
    assert_eq!(spec["nodeName"], "n1");
    assert_eq!(spec["restartPolicy"], "Always");
    assert_eq!(spec["serviceAccountName"], "default");
    assert_eq!(spec["priority"], 0);
    assert_eq!(pod["metadata"]["generation"], 1);
    assert_eq!(
        (&pod["status"]["phase"], &pod["status"]["qosClass"]),
        (&json!("Pending"), &json!("BestEffort"))
    );
    assert_eq!(pod["status"]["conditions"][0]["type"], "PodScheduled");
    let volume = &spec["volumes"][0];
    assert!(volume["name"].as_str().unwrap().starts_with("kube-api-access-"));
    assert_eq!(volume["projected"]["sources"].as_array().unwrap().len(), 3);
    assert_eq!(
        spec["containers"][0]["volumeMounts"],
        json!([{"name": volume["name"], "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}])
    );
}

#[tokio::test]
async fn a_pod_waits_for_a_node_that_takes_pods() {
    let server = Server::new().await;
    let control = server.control();
    let pod = server.with_pod("web").await;
    assert!(pod["spec"].get("nodeName").is_none());
    server.post("/api/v1/nodes", json!({"metadata": {"name": "n1"}, "spec": {"unschedulable": true}})).await;
    server.patch("/api/v1/nodes/n1", json!({"spec": {"unschedulable": null}})).await;
    server.until(&format!("{PODS}/web"), |_, pod| pod["spec"]["nodeName"] == "n1").await;
    control.abort();
}

#[tokio::test]
async fn accounts_decide_over_tokens() {
    let server = Server::new().await;
    let (code, status) = server.post(PODS, json!({"metadata": {"name": "a"}, "spec": {"serviceAccountName": "none", "containers": [{"name": "a", "image": "i"}]}})).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert!(status["message"].as_str().unwrap().contains("serviceaccount \"none\" not found"), "{status}");
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    server.post(accounts, json!({"metadata": {"name": "quiet"}, "automountServiceAccountToken": false, "imagePullSecrets": [{"name": "pull"}]})).await;
    let mut quiet = pod("b");
    quiet["spec"]["serviceAccountName"] = "quiet".into();
    let (_, created) = server.post(PODS, quiet.clone()).await;
    assert!(created["spec"].get("volumes").is_none());
    assert_eq!(created["spec"]["imagePullSecrets"], json!([{"name": "pull"}]));
    quiet["metadata"]["name"] = "c".into();
    quiet["spec"]["automountServiceAccountToken"] = true.into();
    assert!(server.post(PODS, quiet).await.1["spec"]["volumes"].is_array());
}

#[tokio::test]
async fn classes_are_looked_up() {
    let server = Server::new().await;
    let mut critical = pod("a");
    critical["spec"]["priorityClassName"] = "system-node-critical".into();
    assert_eq!(server.post(PODS, critical).await.1["spec"]["priority"], 2_000_001_000);
    let mut own = pod("b");
    own["spec"]["priorityClassName"] = "high".into();
    own["spec"]["runtimeClassName"] = "vm".into();
    assert_eq!(server.post(PODS, own.clone()).await.0, StatusCode::FORBIDDEN);
    server
        .post("/apis/scheduling.k8s.io/v1/priorityclasses", json!({"metadata": {"name": "high"}, "value": 7}))
        .await;
    assert_eq!(server.post(PODS, own.clone()).await.0, StatusCode::FORBIDDEN);
    let class =
        json!({"metadata": {"name": "vm"}, "handler": "kata", "overhead": {"podFixed": {"memory": "10Mi"}}});
    server.post("/apis/node.k8s.io/v1/runtimeclasses", class).await;
    let (code, created) = server.post(PODS, own).await;
    assert_eq!(code, StatusCode::CREATED, "{created}");
    assert_eq!(
        (&created["spec"]["priority"], &created["spec"]["overhead"]),
        (&json!(7), &json!({"memory": "10Mi"}))
    );
}

#[tokio::test]
async fn only_some_of_a_pod_changes() {
    let server = Server::new().await;
    server.with_node().await;
    server.with_pod("web").await;
    let path = &format!("{PODS}/web");
    let (code, changed) =
        server.patch(path, json!({"spec": {"containers": [{"name": "a", "image": "i:2"}]}})).await;
    assert_eq!((code, &changed["metadata"]["generation"]), (StatusCode::OK, &json!(2)));
    let (code, status) = server.patch(path, json!({"spec": {"hostNetwork": true}})).await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(status["message"].as_str().unwrap().contains("pod updates may not change fields"), "{status}");
    // The status is not changed with the pod, nor the pod with its status.
    let (_, kept) = server.patch(path, json!({"status": {"phase": "Running"}})).await;
    assert_eq!(kept["status"]["phase"], "Pending");
    let both = json!({"metadata": {"labels": {"x": "y"}}, "spec": {"hostNetwork": true}, "status": {"phase": "Running"}});
    let (_, told) = server.patch(&format!("{path}/status"), both).await;
    assert_eq!(told["status"]["phase"], "Running");
    assert_eq!(told["status"]["qosClass"], "BestEffort");
    assert!(told["spec"].get("hostNetwork").is_none());
    assert_eq!(told["metadata"]["generation"], 2);
}

#[tokio::test]
async fn ephemeral_containers_only_come() {
    let server = Server::new().await;
    server.with_pod("web").await;
    let path = &format!("{PODS}/web/ephemeralcontainers");
    let debugger = json!({"spec": {"ephemeralContainers": [{"name": "d", "image": "busybox"}]}});
    let (code, changed) = server.patch(path, debugger).await;
    assert_eq!(code, StatusCode::OK, "{changed}");
    assert_eq!(changed["spec"]["ephemeralContainers"][0]["terminationMessagePolicy"], "File");
    let (code, _) = server
        .patch(path, json!({"spec": {"ephemeralContainers": [{"name": "d", "$patch": "delete"}]}}))
        .await;
    assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn resources_are_resized_below_the_pod() {
    let server = Server::new().await;
    server.with_pod("web").await;
    let more = json!({"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "2"}}}]}});
    assert_eq!(server.patch(&format!("{PODS}/web"), more.clone()).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (code, changed) = server.patch(&format!("{PODS}/web/resize"), more).await;
    assert_eq!(code, StatusCode::OK, "{changed}");
    assert_eq!(changed["spec"]["containers"][0]["resources"]["requests"]["cpu"], "2");
}

#[tokio::test]
async fn bindings() {
    let server = Server::new().await;
    server.with_pod("web").await;
    let binding = json!({"metadata": {"name": "web"}, "target": {"kind": "Node", "name": "n9"}});
    assert_eq!(server.post(&format!("{PODS}/web/binding"), binding.clone()).await.0, StatusCode::CREATED);
    assert_eq!(server.get(&format!("{PODS}/web")).await.1["spec"]["nodeName"], "n9");
    assert_eq!(server.post(&format!("{PODS}/web/binding"), binding).await.0, StatusCode::CONFLICT);
}

#[tokio::test]
async fn what_is_for_the_node_needs_a_pod_a_node_and_an_upgrade() {
    let server = Server::new().await;
    server.with_pod("web").await;
    let exec = format!("{PODS}/web/exec?command=ls");
    assert_eq!(server.get(&format!("{PODS}/web/log")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(server.get(&format!("{PODS}/none/log")).await.0, StatusCode::NOT_FOUND);
    let (code, status) = server.by(admin(), Method::POST, &exec, Value::Null).await;
    assert_eq!(
        (code, &status["message"]),
        (StatusCode::BAD_REQUEST, &json!("pod web does not have a host assigned"))
    );
    assert_eq!(server.by(node("n1"), Method::GET, &exec, Value::Null).await.0, StatusCode::FORBIDDEN);
}
