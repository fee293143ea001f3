//! Volumes with what signers of certificates give: trust anchors, and certificates of the pod's own.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use jiff::Timestamp;
use kubeapi::{Selection, Store};
use serde_json::{Value, json};
use testkit::pod::{PodBuilder, pod};
use testkit::tls::{Authority, Identity, TlsClient};
use tokio::time::timeout;
use types::corev1::ServiceAccount;
use types::k8s::api::certificates::v1beta1::{ClusterTrustBundle, PodCertificateRequest};

use crate::api_server::ApiRig;
use crate::rig::DEADLINE;

const GATES: &str = "featureGates:\n  ClusterTrustBundleProjection: true\n  PodCertificateRequest: true\n";
const SIGNER: &str = "example.com/pods";

/// A node with the gates on, and a service account for its pods.
async fn start() -> ApiRig {
    let mut api = ApiRig::prepare(GATES).await;
    api.rig.launch();
    api.server.until_node("registered", |node| !node.is_null()).await;
    if api.server.is_real() {
        let account: ServiceAccount =
            serde_json::from_value(json!({"metadata": {"name": "default"}})).unwrap();
        api.server.client.create(Some("default"), &account).await.unwrap();
    }
    api
}

/// The certificate of an authority.
fn anchor(name: &str) -> String {
    Authority::new(name).unwrap().certificate
}

async fn trust(api: &ApiRig, name: &str, anchor: &str) {
    let bundle = json!({"metadata": {"name": name}, "spec": {"trustBundle": anchor}});
    let bundle: ClusterTrustBundle = serde_json::from_value(bundle).unwrap();
    api.server.client.create(None, &bundle).await.unwrap();
}

fn signed(name: &str, sources: Value) -> PodBuilder {
    pod(name)
        .container("app", &["run"])
        .with_container("app", &json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}))
        .with_spec(&json!({"serviceAccountName": "default", "volumes": [{"name": "v", "projected": {"sources": sources}}]}))
}

fn asks(key_type: &str) -> Value {
    json!([{"podCertificate": {"signerName": SIGNER, "keyType": key_type, "keyPath": "key", "certificateChainPath": "chain"}}])
}

/// The pod's request, as soon as there is one that nobody has answered.
async fn request(api: &ApiRig, pod: &str) -> PodCertificateRequest {
    let requests = Store::<PodCertificateRequest>::start(&api.server.client, Selection::default());
    let mut seen = requests.subscribe();
    let of_pod = |request: &PodCertificateRequest| {
        request.spec.pod_name == pod
            && request.status.as_ref().is_none_or(|status| status.conditions.is_none())
    };
    let found = timeout(DEADLINE, async {
        loop {
            let all = seen.borrow_and_update().clone().unwrap_or_default();
            if let Some(request) = all.values().find(|request| of_pod(request)) {
                return PodCertificateRequest::clone(request);
            }
            seen.changed().await.unwrap();
        }
    });
    found.await.expect("berth asks for a certificate")
}

/// Answers it as a signer does.
async fn answer(api: &ApiRig, request: &PodCertificateRequest, status: Value) {
    let name = request.metadata.name.clone().unwrap();
    let patch = json!({"status": status});
    let client = &api.server.client;
    client.patch::<PodCertificateRequest>(Some("default"), &name, Some("status"), &patch).await.unwrap();
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
    let api = start().await;
    let by_name = |name: &str| json!([{"clusterTrustBundle": {"name": name, "path": "ca"}}]);
    api.server.create(&signed("web", by_name("anchors"))).await;
    let missing = |why: &Value| why.to_string().contains("clustertrustbundle \\\"anchors\\\" not found");
    api.rig.until_why("web", "waits for the bundle", missing).await;
    let (first, second) = (anchor("first"), anchor("second"));
    trust(&api, "anchors", &first).await;
    api.server.until_ready("web").await;
    let path = file(&api, "web", "ca").await;
    assert_eq!(fs::read_to_string(&path).unwrap(), first);
    let patch = json!({"spec": {"trustBundle": second}});
    api.server.client.patch::<ClusterTrustBundle>(None, "anchors", None, &patch).await.unwrap();
    let shown = || async { json!(fs::read_to_string(&path).unwrap_or_default()) };
    api.rig.until("the new anchors", DEADLINE, shown, |text| *text == json!(second)).await;
    api.rig.assert_proper();
}

#[tokio::test]
async fn a_certificate_of_the_pods_own() {
    let api = start().await;
    api.server.create(&signed("web", asks("RSA4096"))).await;
    let waits = |why: &Value| why.to_string().contains("credential bundle is not issued yet");
    api.rig.until_why("web", "waits for the signer", waits).await;
    let asked = request(&api, "web").await;
    // A certificate counts whole seconds.
    let now = UNIX_EPOCH + Duration::from_secs(UNIX_EPOCH.elapsed().unwrap().as_secs());
    let at = |hours| Timestamp::try_from(now + Duration::from_hours(hours)).unwrap().to_string();
    let authority = Authority::new("signer").unwrap();
    let chain = authority.issue(&asked.spec.stub_pkc_s10_request.0, now, Duration::from_hours(24)).unwrap();
    let status = json!({"conditions": condition("Issued"), "certificateChain": chain,
        "notBefore": at(0), "beginRefreshAt": at(12), "notAfter": at(24)});
    answer(&api, &asked, status).await;
    let pod = api.server.until_ready("web").await;
    assert_eq!(json!(asked.spec.pod_uid), pod["metadata"]["uid"]);
    assert_eq!((asked.spec.signer_name.as_str(), asked.spec.node_name.as_str()), (SIGNER, "node"));
    assert!(!asked.spec.service_account_uid.is_empty());
    let read = async |name| fs::read_to_string(file(&api, "web", name).await).unwrap();
    assert_eq!(read("chain").await, chain);
    // That the key is that of the certificate.
    TlsClient::new(
        ([127, 0, 0, 1], 0).into(),
        &authority.certificate,
        Some(&Identity { certificate: chain, key: read("key").await }),
    )
    .unwrap();

    api.server.create(&signed("denied", asks("ECDSAP521"))).await;
    answer(&api, &request(&api, "denied").await, json!({"conditions": condition("Denied")})).await;
    let told = |why: &Value| why.to_string().contains("was permanently denied");
    api.rig.until_why("denied", "is told", told).await;
    api.server.until_event("Pod", "Denied").await;
    api.rig.assert_proper();
}
