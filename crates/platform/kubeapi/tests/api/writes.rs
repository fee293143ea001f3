//! Pods, nodes, leases, tokens.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kubeapi::{ApiErrorKind, NodeLease, TokenSpec, Tokens};
use serde_json::json;
use types::{PodName, PodRef};

use crate::server::{Answer, Asked, Server, failure};

fn pod() -> PodRef {
    PodRef { name: PodName::new("default", "web"), uid: "1-2-3".into() }
}

#[tokio::test]
async fn a_status_is_patched_of_the_right_pod_only() {
    let server = Server::start(|asked| {
        if asked.body["metadata"]["uid"] == "1-2-3" || asked.body["preconditions"]["uid"] == "1-2-3" {
            return failure(409, "Conflict", "the UID in the precondition does not match");
        }
        Answer::Json(200, json!({"metadata": {"name": "web"}}))
    })
    .await;
    let client = server.client();
    let error = client.patch_pod_status(&pod(), json!({"status": {"phase": "Failed"}})).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Conflict);
    let error = client.delete_pod(&pod(), Some(0)).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Conflict);
    assert_eq!(server.asked()[0].body, json!({"metadata": {"uid": "1-2-3"}, "status": {"phase": "Failed"}}));
    client.patch_node_status("a", &json!({"status": {}})).await.unwrap();
    client.patch_node("a", &json!({"metadata": {"labels": {"a": "b"}}})).await.unwrap();
    client.get_node("a", true).await.unwrap();
    let what: Vec<_> = server.asked()[2..].iter().map(Asked::what).collect();
    assert_eq!(what, ["PATCH /api/v1/nodes/a/status", "PATCH /api/v1/nodes/a", "GET /api/v1/nodes/a"]);
}

#[tokio::test]
async fn a_lease_is_created_once_and_belongs_to_its_node() {
    let exists = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |asked| match asked.method.as_str() {
        "POST" => {
            exists.store(1, SeqCst);
            Answer::Json(201, asked.body)
        }
        _ if exists.load(SeqCst) == 0 => failure(404, "NotFound", "leases \"a\" not found"),
        _ => Answer::Json(200, json!({"metadata": {"name": "a"}})),
    })
    .await;
    let mut lease = NodeLease::new(server.client(), "a", Duration::from_secs(40));
    lease.renew(None).await.unwrap();
    lease.renew(Some("uid")).await.unwrap();
    lease.renew(Some("uid")).await.unwrap();
    let asked = server.asked();
    let what: Vec<_> = asked.iter().map(Asked::what).collect();
    let path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    let patch = format!("PATCH {path}/a");
    assert_eq!(what, [patch.as_str(), &format!("POST {path}"), &patch, &patch]);
    assert_eq!(asked[1].body["spec"]["leaseDurationSeconds"], 40);
    assert_eq!(asked[1].body["spec"]["holderIdentity"], "a");
    let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": "a", "uid": "uid"}]);
    assert_eq!(asked[2].body["metadata"]["ownerReferences"], owner);
    assert_eq!(asked[3].body["metadata"], json!(null), "only once");
    let renewed: Timestamp = asked[3].body["spec"]["renewTime"].as_str().unwrap().parse().unwrap();
    assert!(renewed <= Timestamp::now());
}

/// A server that gives tokens good for so many seconds from when they were issued, which was `ago` seconds ago.
async fn giving(life: Arc<Mutex<Option<(i64, i64)>>>) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |mut asked| {
        let Some((life, ago)) = *life.lock().unwrap() else {
            return failure(500, "InternalError", "no tokens today");
        };
        let expires = Timestamp::now() + SignedDuration::from_secs(life - ago);
        let token = format!("token-{}", count.fetch_add(1, SeqCst));
        asked.body["spec"]["expirationSeconds"] = life.into();
        asked.body["status"] = json!({"token": token, "expirationTimestamp": expires.to_string()});
        Answer::Json(201, asked.body)
    })
    .await
}

#[tokio::test]
async fn tokens_are_kept_for_four_fifths_of_their_life() {
    let life = Arc::new(Mutex::new(Some((3600, 0))));
    let server = giving(Arc::clone(&life)).await;
    let tokens = Tokens::new(server.client());
    let spec = TokenSpec {
        pod: pod(),
        service_account: "builder".into(),
        audiences: vec!["vault".into()],
        expiration_seconds: Some(3600),
    };
    let get = async |spec: &TokenSpec| tokens.get(spec).await.map(|token| token.expose().to_owned());
    assert_eq!(get(&spec).await.unwrap(), "token-0");
    assert_eq!(get(&spec).await.unwrap(), "token-0");
    let asked = &server.asked()[0];
    assert_eq!(asked.what(), "POST /api/v1/namespaces/default/serviceaccounts/builder/token");
    assert_eq!(
        asked.body["spec"]["boundObjectRef"],
        json!({"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "1-2-3"})
    );
    assert_eq!(asked.body["spec"]["audiences"], json!(["vault"]));

    // Another audience is another token. How old it is by the server's clock does not matter.
    *life.lock().unwrap() = Some((3600, 3000));
    let other = TokenSpec { audiences: vec![], ..spec.clone() };
    assert_eq!(get(&other).await.unwrap(), "token-1");
    *life.lock().unwrap() = None;
    assert_eq!(get(&other).await.unwrap(), "token-1");

    // One that is expired is not.
    *life.lock().unwrap() = Some((0, 0));
    let third = TokenSpec { service_account: "deployer".into(), ..spec.clone() };
    get(&third).await.unwrap();
    *life.lock().unwrap() = None;
    assert_eq!(get(&third).await.unwrap_err().to_string(), "no tokens today");

    assert_eq!(get(&spec).await.unwrap(), "token-0");
    tokens.forget(&"1-2-3".into());
    assert!(get(&spec).await.is_err());
    assert!(!format!("{:?}", tokens.get(&spec).await).contains("token-"));
}
