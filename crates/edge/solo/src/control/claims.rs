//! Claims are bound to the volumes that an administrator made (Kubernetes: "Persistent Volumes", static provisioning).

use std::sync::Arc;

use serde_json::{Value, json};
use types::Quantity;

use super::Scope;
use crate::object::{self, text};
use crate::store::{Snapshot, Txn};

pub(super) fn wanted(objects: &Snapshot, _: &Scope) -> bool {
    pending(objects).any(|claim| fitting(objects, claim).is_some())
        || volumes(objects).any(|volume| phase(volume, objects) != text(volume, "/status/phase"))
}

pub(super) fn work(txn: &mut Txn, _: &Scope) {
    let claims: Vec<Arc<Value>> = pending(txn).cloned().collect();
    for claim in claims {
        let Some(volume) = fitting(txn, &claim).cloned() else { continue };
        bind(txn, &claim, &volume);
    }
    let all: Vec<Arc<Value>> = volumes(txn).cloned().collect();
    for volume in all {
        let phase = phase(&volume, txn);
        if phase != text(&volume, "/status/phase") {
            let mut changed = (*volume).clone();
            object::map_mut(&mut changed, "status").insert("phase".to_owned(), phase.into());
            txn.put("persistentvolumes", changed);
        }
    }
}

fn volumes(objects: &Snapshot) -> impl Iterator<Item = &Arc<Value>> {
    objects.list("persistentvolumes", None).map(|(_, volume)| volume)
}

fn pending(objects: &Snapshot) -> impl Iterator<Item = &Arc<Value>> {
    objects
        .list("persistentvolumeclaims", None)
        .map(|(_, claim)| claim)
        .filter(|claim| text(claim, "/status/phase") == "Pending" && !object::is_deleting(claim))
}

/// Whom the volume belongs to: nobody, a claim that is there, or one that is gone.
fn phase(volume: &Value, objects: &Snapshot) -> &'static str {
    let uid = text(volume, "/spec/claimRef/uid");
    if uid.is_empty() {
        return "Available";
    }
    let (namespace, name) = (text(volume, "/spec/claimRef/namespace"), text(volume, "/spec/claimRef/name"));
    let lives =
        objects.get("persistentvolumeclaims", namespace, name).is_some_and(|claim| object::uid(claim) == uid);
    if lives { "Bound" } else { "Released" }
}

/// The smallest volume that gives the claim what it asks for; one that was made for it comes first.
fn fitting<'a>(objects: &'a Snapshot, claim: &Value) -> Option<&'a Arc<Value>> {
    let size = |object: &Value, pointer: &str| {
        text(object, pointer).parse::<Quantity>().map(Quantity::value).unwrap_or(0)
    };
    let asked = size(claim, "/spec/resources/requests/storage");
    volumes(objects)
        .filter(|volume| is_free(volume, claim) && size(volume, "/spec/capacity/storage") >= asked)
        .min_by_key(|volume| {
            (volume["spec"].get("claimRef").is_none(), size(volume, "/spec/capacity/storage"))
        })
}

fn is_free(volume: &Value, claim: &Value) -> bool {
    let owner = |field: &str| text(volume, &format!("/spec/claimRef/{field}"));
    let reserved = volume["spec"].get("claimRef").is_some();
    let for_it = owner("namespace") == object::namespace(claim)
        && owner("name") == object::name(claim)
        && (owner("uid").is_empty() || owner("uid") == object::uid(claim));
    let wanted = text(claim, "/spec/volumeName");
    let modes = object::list(volume, "/spec/accessModes");
    let labels = claim.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    (!reserved || for_it)
        && !object::is_deleting(volume)
        && (wanted.is_empty() || wanted == object::name(volume))
        && text(volume, "/spec/storageClassName") == text(claim, "/spec/storageClassName")
        && text(volume, "/spec/volumeMode") == text(claim, "/spec/volumeMode")
        && object::list(claim, "/spec/accessModes").iter().all(|mode| modes.contains(mode))
        && labels.into_iter().flatten().all(|(key, value)| object::label(volume, key) == value.as_str())
}

fn bind(txn: &mut Txn, claim: &Value, volume: &Value) {
    let mut bound = volume.clone();
    let reference = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": object::namespace(claim),
        "name": object::name(claim), "uid": object::uid(claim)});
    object::map_mut(&mut bound, "spec").insert("claimRef".to_owned(), reference);
    object::map_mut(&mut bound, "status").insert("phase".to_owned(), "Bound".into());
    txn.put("persistentvolumes", bound);
    let mut claim = claim.clone();
    object::map_mut(&mut claim, "spec").insert("volumeName".to_owned(), object::name(volume).into());
    let status = json!({"phase": "Bound", "accessModes": volume["spec"]["accessModes"], "capacity": volume["spec"]["capacity"]});
    object::as_map(&mut claim).insert("status".to_owned(), status);
    txn.put("persistentvolumeclaims", claim);
}
