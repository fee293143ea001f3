use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

#[tokio::test]
async fn dependants_go_with_their_owners() {
    let server = Server::new().await;
    let control = server.control();
    let maps = "/api/v1/namespaces/default/configmaps";
    let (_, owner) = server.post(maps, json!({"metadata": {"name": "owner"}})).await;
    let reference =
        |kind: &str, uid: &Value| json!([{"apiVersion": "v1", "kind": kind, "name": "owner", "uid": uid}]);
    let owned = reference("ConfigMap", &owner["metadata"]["uid"]);
    server.post(maps, json!({"metadata": {"name": "owned", "ownerReferences": owned}})).await;
    // What owns this one is none of this server's kinds.
    let foreign = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "1"}]);
    server.post(maps, json!({"metadata": {"name": "foreign", "ownerReferences": foreign}})).await;
    server.delete(&format!("{maps}/owner")).await;
    server.until(&format!("{maps}/owned"), |code, _| code == StatusCode::NOT_FOUND).await;
    assert_eq!(server.get(&format!("{maps}/foreign")).await.0, StatusCode::OK);
    control.abort();
}

#[tokio::test]
async fn namespaces_get_back_what_each_has() {
    let server = Server::new().await;
    let control = server.control();
    let account = "/api/v1/namespaces/default/serviceaccounts/default";
    let (_, first) = server.get(account).await;
    server.delete(account).await;
    server
        .until(account, |code, again| {
            code == StatusCode::OK && again["metadata"]["uid"] != first["metadata"]["uid"]
        })
        .await;
    control.abort();
}

#[tokio::test]
async fn claims_are_bound_to_the_smallest_volume_that_fits() {
    let server = Server::new().await;
    let control = server.control();
    for (name, size) in [("small", "1Gi"), ("large", "10Gi"), ("fit", "5Gi")] {
        let volume = json!({"metadata": {"name": name}, "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/x"}}});
        assert_eq!(server.post("/api/v1/persistentvolumes", volume).await.0, StatusCode::CREATED);
    }
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}});
    assert_eq!(server.post(claims, claim).await.0, StatusCode::CREATED);
    server.until(&format!("{claims}/c"), |_, claim| claim["status"]["phase"] == "Bound").await;
    assert_eq!(server.get(&format!("{claims}/c")).await.1["spec"]["volumeName"], "fit");
    assert_eq!(server.get("/api/v1/persistentvolumes/fit").await.1["status"]["phase"], "Bound");
    server
        .until("/api/v1/persistentvolumes/small", |_, volume| volume["status"]["phase"] == "Available")
        .await;
    server.delete(&format!("{claims}/c")).await;
    server.until("/api/v1/persistentvolumes/fit", |_, volume| volume["status"]["phase"] == "Released").await;
    control.abort();
}

#[tokio::test]
async fn a_node_gets_certificates_for_itself_and_others_after_approval() {
    let server = Server::new().await;
    let control = server.control();
    let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let request = |name: &str, common: &str, signer: &str| {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, common);
        let pem = params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        json!({"metadata": {"name": name}, "spec": {"request": STANDARD.encode(pem), "signerName": signer,
            "usages": ["digital signature"], "username": "somebody else"}})
    };
    let own = request("own", "system:node:n1", "kubernetes.io/kubelet-serving");
    let (code, made) = server.by(node("n1"), Method::POST, path, own).await;
    assert_eq!((code, &made["spec"]["username"]), (StatusCode::CREATED, &json!("system:node:n1")));
    server.until(&format!("{path}/own"), |_, request| request["status"]["certificate"].is_string()).await;
    let (_, signed) = server.get(&format!("{path}/own")).await;
    let pem = STANDARD.decode(signed["status"]["certificate"].as_str().unwrap()).unwrap();
    assert!(pem.starts_with(b"-----BEGIN CERTIFICATE-----"));

    server
        .by(
            node("n1"),
            Method::POST,
            path,
            request("other", "system:node:n2", "kubernetes.io/kubelet-serving"),
        )
        .await;
    server.post(path, request("user", "me", "kubernetes.io/kube-apiserver-client")).await;
    let approval = json!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "r", "message": "m"}]}});
    server
        .typed(
            admin(),
            Method::PATCH,
            &format!("{path}/user/approval"),
            "application/merge-patch+json",
            approval,
        )
        .await;
    server.until(&format!("{path}/user"), |_, request| request["status"]["certificate"].is_string()).await;
    assert!(server.get(&format!("{path}/other")).await.1["status"].get("certificate").is_none());
    control.abort();
}
