//! POST of an object.

use std::sync::Arc;

use schema::FieldError;
use serde_json::Value;
use types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::call::Call;
use crate::auth;
use crate::error::ApiError;
use crate::object;
use crate::rules;
use crate::store::Txn;

/// A generated name is tried so often before it is given up.
const TRIES: usize = 8;

/// Creates `object`, which was decoded, and answers it as it is kept. `ca` is what each namespace gets.
pub(super) fn create(
    txn: &mut Txn,
    call: &Call,
    mut object: Value,
    ca: &str,
) -> Result<Arc<Value>, ApiError> {
    let resource = call.resource();
    identify(txn, call, &mut object)?;
    if resource.namespaced {
        check_namespace(txn, call, &object)?;
    }
    // The status is what others find out, except where the kind has no say in that.
    if resource.has("status") && !resource.created_with_status {
        object::as_map(&mut object).remove("status");
    }
    auth::restrict_create(&call.scene(txn), &object)?;
    check_metadata(call, &object)?;
    (resource.rules.create)(&mut object, &call.scene(txn))?;
    if txn.get(resource.store, object::namespace(&object), object::name(&object)).is_some() {
        return Err(ApiError::already_exists(&resource.qualified(), object::name(&object)));
    }
    if call.is_dry() {
        return Ok(Arc::new(object));
    }
    let created = txn.put(resource.store, object);
    if resource.store == "namespaces" {
        rules::furnish(txn, object::name(&created), ca);
    }
    Ok(created)
}

/// Name, namespace, UID and time of creation.
fn identify(txn: &Txn, call: &Call, object: &mut Value) -> Result<(), ApiError> {
    let resource = call.resource();
    let meta = object::meta_mut(object);
    if meta.get("resourceVersion").is_some_and(|version| version != "") {
        return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
    }
    for own in ["deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion"] {
        meta.remove(own);
    }
    if resource.namespaced {
        object::default(meta, "namespace", call.namespace());
        if meta["namespace"] != call.namespace() {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
    } else {
        meta.remove("namespace");
    }
    let prefix = meta.get("generateName").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !prefix.is_empty() && meta.get("name").and_then(Value::as_str).unwrap_or_default().is_empty() {
        let free = |name: &String| txn.get(resource.store, call.namespace(), name).is_none();
        let name = (0..TRIES).map(|_| prefix.clone() + &crate::random::suffix()).find(free);
        let taken = || ApiError::already_exists(&resource.qualified(), &prefix);
        meta.insert("name".to_owned(), name.ok_or_else(taken)?.into());
    }
    meta.insert("uid".to_owned(), crate::random::uid().into());
    meta.insert("creationTimestamp".to_owned(), crate::time::now().into());
    if resource.counts_generations {
        meta.insert("generation".to_owned(), 1.into());
    }
    Ok(())
}

fn check_namespace(txn: &Txn, call: &Call, object: &Value) -> Result<(), ApiError> {
    let namespace = call.namespace();
    match txn.get("namespaces", "", namespace) {
        None => Err(ApiError::not_found("namespaces", namespace)),
        Some(found) if object::is_deleting(found) => {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            let message = format!("namespace {namespace} is being terminated");
            let error = ApiError::forbidden(&call.resource().qualified(), object::name(object), &why);
            Err(error.because("NamespaceTerminating", &message))
        }
        Some(_) => Ok(()),
    }
}

/// Refuses names, labels and the like that break the rules of all kinds.
pub(super) fn check_metadata(call: &Call, object: &Value) -> Result<(), ApiError> {
    let resource = call.resource();
    let meta: ObjectMeta = serde_json::from_value(object["metadata"].clone())
        .map_err(|error| ApiError::bad_request(format!("cannot read the metadata: {error}")))?;
    let errors: Vec<FieldError> =
        schema::validate_metadata(&meta, resource.namespaced, resource.name_is_label);
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(resource.kind, resource.group, object::name(object), &errors))
}
