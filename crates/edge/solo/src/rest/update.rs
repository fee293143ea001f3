//! PUT and PATCH of an object or one of its subresources.

use std::sync::Arc;

use serde_json::Value;

use super::call::Call;
use super::create::check_metadata;
use super::delete;
use crate::auth;
use crate::error::ApiError;
use crate::object;
use crate::patch::Patch;
use crate::store::Txn;

/// What belongs to the server, whatever a client sends.
const OWN: [&str; 6] =
    ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];

/// Replaces the object by `object`, which was decoded.
pub(super) fn replace(txn: &mut Txn, call: &Call, object: Value) -> Result<Arc<Value>, ApiError> {
    let old = call.current(txn)?;
    save(txn, call, &old, object)
}

/// Patches the object. The patch is for the form that the client sees.
pub(super) fn patch(txn: &mut Txn, call: &Call, patch: Patch) -> Result<Arc<Value>, ApiError> {
    let old = call.current(txn)?;
    let mut object = call.resource().shown(&old);
    patch.apply(call.resource().kind, &mut object)?;
    let object = call.decode(object)?;
    save(txn, call, &old, object)
}

fn save(txn: &mut Txn, call: &Call, old: &Arc<Value>, mut new: Value) -> Result<Arc<Value>, ApiError> {
    let resource = call.resource();
    let name = object::name(&new);
    if name != call.name() {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.name()
        )));
    }
    check_preconditions(call, old, &new)?;
    let meta = object::meta_mut(&mut new);
    for field in OWN {
        object::carry(&old["metadata"], meta, field);
    }
    object::carry(&old["metadata"], meta, "generation");
    keep_the_rest(call, old, &mut new);
    auth::restrict_update(&call.scene(txn), old, &new)?;
    check_metadata(call, &new)?;
    (resource.rules.update)(old, &mut new, &call.scene(txn))?;
    if resource.counts_generations && new.get("spec") != old.get("spec") {
        let generation = object::number(old, "/metadata/generation").unwrap_or(0) + 1;
        object::meta_mut(&mut new).insert("generation".to_owned(), generation.into());
    }
    if call.is_dry() {
        return Ok(Arc::new(new));
    }
    let kept = txn.put(resource.store, new);
    if delete::is_over(&kept) {
        txn.remove(resource.store, call.namespace(), call.name());
    }
    Ok(kept)
}

fn check_preconditions(call: &Call, old: &Value, new: &Value) -> Result<(), ApiError> {
    let resource = call.resource().qualified();
    let (uid, old_uid) = (object::uid(new), object::uid(old));
    if !uid.is_empty() && uid != old_uid {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {old_uid}");
        return Err(ApiError::conflict(&resource, call.name(), &why));
    }
    let version = object::text(new, "/metadata/resourceVersion");
    if !version.is_empty() && version != "0" && version != object::text(old, "/metadata/resourceVersion") {
        return Err(ApiError::modified(&resource, call.name()));
    }
    Ok(())
}

/// A subresource changes its part of the object, and the object itself all but its status.
fn keep_the_rest(call: &Call, old: &Value, new: &mut Value) {
    let map = object::as_map(new);
    match call.objects.subresource.as_str() {
        "" if call.resource().has("status") => object::carry(old, map, "status"),
        "status" | "approval" => object::carry(old, map, "spec"),
        "ephemeralcontainers" | "resize" => object::carry(old, map, "status"),
        _ => {}
    }
}
