//! DELETE of an object or of a collection.

use std::sync::Arc;

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use crate::auth;
use crate::error::ApiError;
use crate::object;
use crate::resource::Resource;
use crate::rules;
use crate::selector::Selector;
use crate::store::Txn;

/// `metav1.DeleteOptions`, as far as it means something here. Dependants go with their owner whatever the policy says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeleteOptions {
    pub(crate) grace_period_seconds: Option<i64>,
    preconditions: Preconditions,
    pub(crate) dry_run: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Preconditions {
    uid: Option<String>,
    resource_version: Option<String>,
}

impl DeleteOptions {
    /// The options of the body, or those of the query.
    pub(crate) fn read(call: &Call, body: Value) -> Result<Self, ApiError> {
        let mut options: Self = if body.is_null() {
            Self::default()
        } else {
            serde_json::from_value(body)
                .map_err(|error| ApiError::bad_request(format!("cannot read the DeleteOptions: {error}")))?
        };
        if options.grace_period_seconds.is_none() {
            options.grace_period_seconds = call.options.grace_period_seconds()?;
        }
        if call.is_dry() {
            options.dry_run = vec!["All".to_owned()];
        }
        Ok(options)
    }

    pub(super) fn check(&self, call: &Call, old: &Value) -> Result<(), ApiError> {
        let conflict = |what: &str, asked: &str, found: &str| {
            let why = format!(
                "Precondition failed: {what} in precondition: {asked}, {what} in object meta: {found}"
            );
            Err(ApiError::conflict(&call.resource().qualified(), object::name(old), &why))
        };
        match (&self.preconditions.uid, &self.preconditions.resource_version) {
            (Some(uid), _) if uid != object::uid(old) => conflict("UID", uid, object::uid(old)),
            (_, Some(version)) if version != object::text(old, "/metadata/resourceVersion") => {
                conflict("ResourceVersion", version, object::text(old, "/metadata/resourceVersion"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether nothing keeps an object that is being deleted: no finalizer, no grace period, no content.
pub(crate) fn is_over(object: &Value) -> bool {
    object::is_deleting(object)
        && !object::has_finalizers(object)
        && object::number(object, "/metadata/deletionGracePeriodSeconds").unwrap_or(0) == 0
        && object["kind"] != "Namespace"
}

/// Deletes one object, or begins to.
pub(super) fn delete(txn: &mut Txn, call: &Call, options: &DeleteOptions) -> Result<Answer, ApiError> {
    let old = call.current(txn)?;
    options.check(call, &old)?;
    auth::restrict_delete(&call.scene(txn), &old)?;
    let resource = call.resource();
    if resource.store == "namespaces" && rules::DEFAULT_NAMESPACES.contains(&call.name()) {
        return Err(ApiError::forbidden("namespaces", call.name(), "this namespace may not be deleted"));
    }
    if !options.dry_run.is_empty() {
        return Ok(Answer::Object(StatusCode::OK, old));
    }
    let gone = begin(txn, resource, &old, options.grace_period_seconds);
    Ok(match gone {
        // Clients of pods read the pod from the answer in any case.
        Begun::Removed(last) if resource.store == "pods" => Answer::Object(StatusCode::OK, last),
        Begun::Removed(_) => Answer::Plain(StatusCode::OK, success(resource, &old)),
        Begun::Waits(object) => Answer::Object(StatusCode::OK, object),
    })
}

/// Deletes the objects that `selector` selects, and answers them.
pub(super) fn delete_all(
    txn: &mut Txn,
    call: &Call,
    selector: &Selector,
    options: &DeleteOptions,
) -> Result<Vec<Arc<Value>>, ApiError> {
    let resource = call.resource();
    let all: Vec<Arc<Value>> = txn
        .list(resource.store, call.objects.namespace.as_deref())
        .map(|(_, object)| object)
        .filter(|object| selector.matches(object))
        .cloned()
        .collect();
    for object in &all {
        auth::restrict_delete(&call.scene(txn), object)?;
        let kept =
            resource.store == "namespaces" && rules::DEFAULT_NAMESPACES.contains(&object::name(object));
        if options.dry_run.is_empty() && !kept {
            begin(txn, resource, object, options.grace_period_seconds);
        }
    }
    Ok(all)
}

/// How far a deletion got.
pub(crate) enum Begun {
    Removed(Arc<Value>),
    /// Somebody has to finish something first.
    Waits(Arc<Value>),
}

/// Removes an object, or marks it for those who have to finish first: the node a pod runs on, holders of finalizers,
/// and for a namespace whoever empties it.
pub(crate) fn begin(
    txn: &mut Txn,
    resource: &'static Resource,
    old: &Arc<Value>,
    asked: Option<i64>,
) -> Begun {
    let (namespace, name) = (object::namespace(old), object::name(old));
    let grace = if resource.store == "pods" { grace(old, asked) } else { 0 };
    let waits = grace > 0 || object::has_finalizers(old) || resource.store == "namespaces";
    if !waits {
        let last = txn.remove(resource.store, namespace, name).unwrap_or_else(|| old.clone());
        return Begun::Removed(last);
    }
    let mut new = (**old).clone();
    let left = object::number(old, "/metadata/deletionGracePeriodSeconds");
    // A deletion under way can only be hastened.
    if object::is_deleting(old) && left.is_some_and(|left| left <= grace) {
        return Begun::Waits(old.clone());
    }
    let meta = object::meta_mut(&mut new);
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(grace);
    meta.insert("deletionTimestamp".to_owned(), crate::time::seconds(at).into());
    meta.insert("deletionGracePeriodSeconds".to_owned(), grace.into());
    if resource.counts_generations {
        let generation = object::number(old, "/metadata/generation").unwrap_or(0) + 1;
        meta.insert("generation".to_owned(), generation.into());
    }
    if resource.store == "namespaces" {
        object::map_mut(&mut new, "status").insert("phase".to_owned(), "Terminating".into());
    }
    Begun::Waits(txn.put(resource.store, new))
}

/// A pod's grace period in seconds: none for one that has ended or runs nowhere.
fn grace(pod: &Value, asked: Option<i64>) -> i64 {
    let own = object::number(pod, "/spec/terminationGracePeriodSeconds");
    let grace = asked.or(own).unwrap_or(types::pod::DEFAULT_GRACE_PERIOD_SECONDS);
    if object::text(pod, "/spec/nodeName").is_empty() || rules::is_terminal(pod) || grace == 0 {
        return 0;
    }
    grace.max(1)
}

fn success(resource: &Resource, old: &Value) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
        "details": {"name": object::name(old), "group": resource.group, "kind": resource.plural, "uid": object::uid(old)}})
}
