//! What is created below an object: bindings, evictions, tokens.

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::delete::{self, DeleteOptions};
use crate::auth::{self, Bound, ISSUER, Issuer, TokenSpec};
use crate::error::ApiError;
use crate::object::{self, text};
use crate::rules;
use crate::store::Txn;

/// A token lives so long at least, in seconds.
const MIN_TOKEN: i64 = 600;
/// And so long unless told otherwise.
const DEFAULT_TOKEN: i64 = 3600;
/// And no longer than this.
const MAX_TOKEN: i64 = 1 << 32;

fn created() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})
}

/// POST of `body` to a subresource.
pub(super) fn create(txn: &mut Txn, call: &Call, issuer: &Issuer, body: &Value) -> Result<Answer, ApiError> {
    match call.objects.subresource.as_str() {
        "binding" => bind(txn, call, body),
        "eviction" => evict(txn, call, body),
        "token" => token(txn, call, issuer, body),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn bind(txn: &mut Txn, call: &Call, binding: &Value) -> Result<Answer, ApiError> {
    let pod = call.current(txn)?;
    let node = text(binding, "/target/name");
    let kind = text(binding, "/target/kind");
    if node.is_empty() || !matches!(kind, "" | "Node") {
        return Err(ApiError::bad_request("target: a pod is bound to a Node by its name"));
    }
    let why = if object::is_deleting(&pod) {
        format!("pod {} is being deleted, cannot be assigned to a host", call.name())
    } else if !text(&pod, "/spec/nodeName").is_empty() {
        format!("pod {} is already assigned to node {:?}", call.name(), text(&pod, "/spec/nodeName"))
    } else {
        String::new()
    };
    if !why.is_empty() {
        return Err(ApiError::conflict("pods/binding", call.name(), &why));
    }
    if !call.is_dry() {
        let mut bound = (*pod).clone();
        rules::bind(&mut bound, node);
        txn.put("pods", bound);
    }
    Ok(Answer::Plain(StatusCode::CREATED, created()))
}

/// There are no disruption budgets, so an eviction is a deletion.
fn evict(txn: &mut Txn, call: &Call, eviction: &Value) -> Result<Answer, ApiError> {
    let pod = call.current(txn)?;
    if let Some(node) = call.user.node() {
        auth::own_pod(&call.scene(txn), node, &pod)?;
    }
    let options: DeleteOptions = match eviction.get("deleteOptions") {
        Some(options) => serde_json::from_value(options.clone())
            .map_err(|error| ApiError::bad_request(format!("cannot read deleteOptions: {error}")))?,
        None => DeleteOptions::default(),
    };
    options.check(call, &pod)?;
    if options.dry_run.is_empty() && !call.is_dry() {
        delete::begin(txn, call.resource(), &pod, options.grace_period_seconds);
    }
    Ok(Answer::Plain(StatusCode::CREATED, created()))
}

fn token(txn: &Txn, call: &Call, issuer: &Issuer, request: &Value) -> Result<Answer, ApiError> {
    let account = call.current(txn)?;
    let mut audiences: Vec<String> = object::list(request, "/spec/audiences")
        .iter()
        .filter_map(|audience| audience.as_str().map(str::to_owned))
        .collect();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    let seconds = object::number(request, "/spec/expirationSeconds").unwrap_or(DEFAULT_TOKEN);
    if !(MIN_TOKEN..=MAX_TOKEN).contains(&seconds) {
        let detail = format!(
            "spec.expirationSeconds: Invalid value: {seconds}: may not specify a duration less than 10 minutes or more than 2^32 seconds"
        );
        return Err(ApiError::unprocessable(detail));
    }
    let bound = bound(txn, call, request)?;
    if let Some(node) = call.user.node()
        && !bound.iter().any(|bound| bound.claim == "pod" && runs_on(txn, call, &bound.name, node))
    {
        let why = format!("node requested token not bound to a pod that runs on {node:?}");
        return Err(ApiError::forbidden("serviceaccounts", call.name(), &why));
    }
    let expires = Timestamp::now() + SignedDuration::from_secs(seconds);
    let spec = TokenSpec {
        namespace: call.namespace().to_owned(),
        account: call.name().to_owned(),
        account_uid: object::uid(&account).to_owned(),
        audiences: audiences.clone(),
        expires: expires.as_second(),
        bound,
    };
    let signed = issuer.sign(&spec).map_err(|error| ApiError::internal(error.to_string()))?;
    let mut answered = json!({"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": call.name(), "namespace": call.namespace(), "creationTimestamp": crate::time::now()},
        "spec": {"audiences": audiences, "expirationSeconds": seconds},
        "status": {"token": signed, "expirationTimestamp": crate::time::seconds(expires)}});
    answered["spec"]["boundObjectRef"] = request.pointer("/spec/boundObjectRef").cloned().unwrap_or_default();
    Ok(Answer::Plain(StatusCode::CREATED, answered))
}

fn runs_on(txn: &Txn, call: &Call, pod: &str, node: &str) -> bool {
    txn.get("pods", call.namespace(), pod).is_some_and(|pod| {
        text(pod, "/spec/nodeName") == node && text(pod, "/spec/serviceAccountName") == call.name()
    })
}

/// What the token is to be bound to: the object of the request, and with a pod also its node.
fn bound(txn: &Txn, call: &Call, request: &Value) -> Result<Vec<Bound>, ApiError> {
    let Some(reference) = request.pointer("/spec/boundObjectRef").filter(|reference| reference.is_object())
    else {
        return Ok(Vec::new());
    };
    let (resource, claim) = match (text(reference, "/apiVersion"), text(reference, "/kind")) {
        ("v1", "Pod") => ("pods", "pod"),
        ("v1", "Secret") => ("secrets", "secret"),
        (version, kind) => {
            return Err(ApiError::bad_request(format!(
                "cannot bind token to object of type {version}, Kind={kind}"
            )));
        }
    };
    let name = text(reference, "/name");
    let found =
        txn.get(resource, call.namespace(), name).ok_or_else(|| ApiError::not_found(resource, name))?;
    let (asked, uid) = (text(reference, "/uid"), object::uid(found));
    if !asked.is_empty() && asked != uid {
        let why = format!(
            "the UID in the bound object reference ({asked}) does not match the UID in record ({uid})"
        );
        return Err(ApiError::conflict(resource, name, &why));
    }
    if resource == "pods" && text(found, "/spec/serviceAccountName") != call.name() {
        return Err(ApiError::bad_request(format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
            call.name()
        )));
    }
    let mut bound = vec![Bound { claim, name: name.to_owned(), uid: uid.to_owned() }];
    let node = text(found, "/spec/nodeName");
    if resource == "pods"
        && let Some(node) = txn.get("nodes", "", node)
    {
        bound.push(Bound {
            claim: "node",
            name: object::name(node).to_owned(),
            uid: object::uid(node).to_owned(),
        });
    }
    Ok(bound)
}
