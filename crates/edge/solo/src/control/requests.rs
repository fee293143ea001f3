//! Certificate signing requests: those of a node for itself are approved, and what is approved is signed.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Scope;
use crate::authority::Request;
use crate::object::{self, text};
use crate::rules;
use crate::store::{Snapshot, Txn};

const STORE: &str = "certificatesigningrequests.certificates.k8s.io";
/// For the kubelet's own server.
const SERVING: &str = "kubernetes.io/kubelet-serving";
/// For clients of the API server that are kubelets.
const KUBELET: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// For other clients of the API server.
const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

pub(super) fn wanted(objects: &Snapshot, _: &Scope) -> bool {
    open(objects).next().is_some()
}

pub(super) fn work(txn: &mut Txn, scope: &Scope) {
    let all: Vec<Arc<Value>> = open(txn).cloned().collect();
    for request in all {
        let mut answered = (*request).clone();
        answer(&mut answered, scope);
        txn.put(STORE, answered);
    }
}

/// Requests that wait for this controller.
fn open(objects: &Snapshot) -> impl Iterator<Item = &Arc<Value>> {
    objects.list(STORE, None).map(|(_, request)| request).filter(|request| {
        let known = matches!(text(request, "/spec/signerName"), SERVING | KUBELET | CLIENT);
        let done = !text(request, "/status/certificate").is_empty()
            || has(request, "Denied")
            || has(request, "Failed");
        known && !done && (has(request, "Approved") || is_of_node_for_itself(request))
    })
}

fn has(request: &Value, condition: &str) -> bool {
    object::list(request, "/status/conditions").iter().any(|one| one["type"] == condition)
}

fn is_of_node_for_itself(request: &Value) -> bool {
    let user = text(request, "/spec/username");
    let by_node =
        user.starts_with("system:node:") && matches!(text(request, "/spec/signerName"), SERVING | KUBELET);
    by_node && read(request).is_ok_and(|read| read.name == user)
}

fn read(request: &Value) -> Result<Request, String> {
    let pem = STANDARD.decode(text(request, "/spec/request")).map_err(|error| error.to_string())?;
    let pem = String::from_utf8(pem).map_err(|error| error.to_string())?;
    Request::parse(&pem).map_err(|error| error.to_string())
}

fn answer(request: &mut Value, scope: &Scope) {
    if !has(request, "Approved") {
        condition(request, "Approved", "AutoApproved", "a node may have certificates for itself");
    }
    let server = text(request, "/spec/signerName") == SERVING;
    let seconds =
        object::number(request, "/spec/expirationSeconds").and_then(|seconds| u64::try_from(seconds).ok());
    let signed = read(request)
        .and_then(|read| scope.authority.sign(&read, server, seconds).map_err(|error| error.to_string()));
    match signed {
        Ok(pem) => {
            object::map_mut(request, "status").insert("certificate".to_owned(), STANDARD.encode(pem).into());
        }
        Err(message) => condition(request, "Failed", "SigningFailed", &message),
    }
}

fn condition(request: &mut Value, kind: &str, reason: &str, message: &str) {
    let now = crate::time::now();
    rules::set_condition(
        request,
        json!({"type": kind, "status": "True", "reason": reason, "message": message, "lastUpdateTime": now, "lastTransitionTime": now}),
    );
}
