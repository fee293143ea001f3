//! Volumes with what signers of certificates give: trust anchors, and certificates of the pod's own.

use std::fs;
use std::path::PathBuf;

use kubeapi::{Selection, Store};
use serde_json::{Value, json};
use testkit::pod::{PodBuilder, pod};
use tokio::time::timeout;
use types::k8s::api::certificates::v1beta1::{ClusterTrustBundle, PodCertificateRequest};

use crate::api_server::ApiRig;
use crate::rig::DEADLINE;

const GATES: &str = "featureGates:\n  ClusterTrustBundleProjection: true\n  PodCertificateRequest: true\n";
const SIGNER: &str = "example.com/pods";

/// A node with the gates on; `None` with a server that has not got the kinds.
async fn start() -> Option<ApiRig> {
    let mut api = ApiRig::prepare(GATES).await;
    if api.server.is_real() {
        return None;
    }
    api.rig.launch();
    api.server.until_node("registered", |node| !node.is_null()).await;
    Some(api)
}

fn certificate(text: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

async fn trust(api: &ApiRig, name: &str, text: &str) {
    let bundle = json!({"metadata": {"name": name}, "spec": {"trustBundle": certificate(text)}});
    let bundle: ClusterTrustBundle = serde_json::from_value(bundle).unwrap();
    api.server.client.create(None, &bundle).await.unwrap();
}

fn signed(name: &str, sources: Value) -> PodBuilder {
    pod(name)
        .container("app", &["run"])
        .with_container("app", &json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}))
        .with_spec(&json!({"serviceAccountName": "default", "volumes": [{"name": "v", "projected": {"sources": sources}}]}))
}

fn asks() -> Value {
    json!([{"podCertificate": {"signerName": SIGNER, "keyType": "ED25519", "keyPath": "key", "certificateChainPath": "chain"}}])
}

/// Waits until there is a request of the pod, and answers it as a signer does.
async fn answer(api: &ApiRig, pod: &str, status: Value) -> PodCertificateRequest {
    let requests = Store::<PodCertificateRequest>::start(&api.server.client, Selection::default());
    let mut seen = requests.subscribe();
    let of_pod = |request: &PodCertificateRequest| request.spec.pod_name == pod && request.status.is_none();
    let found = timeout(DEADLINE, async {
        loop {
            let all = seen.borrow_and_update().clone().unwrap_or_default();
            if let Some(request) = all.values().find(|request| of_pod(request)) {
                return PodCertificateRequest::clone(request);
            }
            seen.changed().await.unwrap();
        }
    });
    let request = found.await.expect("berth asks for a certificate");
    let name = request.metadata.name.clone().unwrap();
    let patch = json!({"status": status});
    let client = &api.server.client;
    client.patch::<PodCertificateRequest>(Some("default"), &name, Some("status"), &patch).await.unwrap();
    request
}

fn condition(kind: &str) -> Value {
    json!([{"type": kind, "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}])
}

async fn file(api: &ApiRig, pod: &str, name: &str) -> PathBuf {
    let pod = api.server.pod(pod).await;
    let dir = api.rig.root().join("pods").join(pod["metadata"]["uid"].as_str().unwrap());
    dir.join("volumes/kubernetes.io~projected/v").join(name)
}

#[tokio::test]
async fn trust_anchors_are_waited_for_and_follow_their_bundle() {
    let Some(api) = start().await else { return };
    let by_name = |name: &str| json!([{"clusterTrustBundle": {"name": name, "path": "ca"}}]);
    api.server.create(&signed("web", by_name("anchors"))).await;
    let missing = |why: &Value| why.to_string().contains("clustertrustbundle \\\"anchors\\\" not found");
    api.rig.until_why("web", "waits for the bundle", missing).await;
    trust(&api, "anchors", "b25l").await;
    api.server.until_ready("web").await;
    let path = file(&api, "web", "ca").await;
    assert_eq!(fs::read_to_string(&path).unwrap(), certificate("b25l"));
    let patch = json!({"spec": {"trustBundle": certificate("dHdv")}});
    api.server.client.patch::<ClusterTrustBundle>(None, "anchors", None, &patch).await.unwrap();
    let shown = || async { json!(fs::read_to_string(&path).unwrap_or_default()) };
    api.rig.until("the new anchors", DEADLINE, shown, |text| *text == json!(certificate("dHdv"))).await;
    api.rig.assert_proper();
}

#[tokio::test]
async fn a_certificate_of_the_pods_own() {
    let Some(api) = start().await else { return };
    api.server.create(&signed("web", asks())).await;
    let waits = |why: &Value| why.to_string().contains("credential bundle is not issued yet");
    api.rig.until_why("web", "waits for the signer", waits).await;
    let status = json!({"conditions": condition("Issued"), "certificateChain": certificate("b25l"),
        "notBefore": "2026-01-01T00:00:00Z", "beginRefreshAt": "2099-01-01T00:00:00Z", "notAfter": "2099-02-01T00:00:00Z"});
    let request = answer(&api, "web", status).await;
    let pod = api.server.until_ready("web").await;
    assert_eq!(json!(request.spec.pod_uid), pod["metadata"]["uid"]);
    assert_eq!((request.spec.signer_name.as_str(), request.spec.node_name.as_str()), (SIGNER, "node"));
    assert!(!request.spec.service_account_uid.is_empty() && !request.spec.stub_pkc_s10_request.0.is_empty());
    assert_eq!(fs::read_to_string(file(&api, "web", "chain").await).unwrap(), certificate("b25l"));
    let key = fs::read_to_string(file(&api, "web", "key").await).unwrap();
    assert!(key.starts_with("-----BEGIN PRIVATE KEY-----\n"));

    api.server.create(&signed("denied", asks())).await;
    answer(&api, "denied", json!({"conditions": condition("Denied")})).await;
    let told = |why: &Value| why.to_string().contains("was permanently denied");
    api.rig.until_why("denied", "is told", told).await;
    api.server.until_event("Pod", "Denied").await;
    api.rig.assert_proper();
}
