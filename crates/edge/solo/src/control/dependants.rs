//! Objects whose owners are gone go too (Kubernetes: "Garbage Collection").

use std::sync::Arc;

use serde_json::Value;

use super::Scope;
use crate::object;
use crate::resource::{self, RESOURCES, Resource};
use crate::rest::begin_deletion;
use crate::store::{Snapshot, Txn};

pub(super) fn wanted(objects: &Snapshot, _: &Scope) -> bool {
    !orphans(objects).is_empty()
}

pub(super) fn work(txn: &mut Txn, _: &Scope) {
    for (resource, object) in orphans(txn) {
        begin_deletion(txn, resource, &object, None);
    }
}

/// Objects all of whose owners are gone.
fn orphans(objects: &Snapshot) -> Vec<(&'static Resource, Arc<Value>)> {
    RESOURCES
        .iter()
        .filter(|resource| resource.view.is_none())
        .flat_map(|resource| objects.list(resource.store, None).map(move |(_, object)| (resource, object)))
        .filter(|(_, object)| is_orphan(objects, object))
        .map(|(resource, object)| (resource, object.clone()))
        .collect()
}

fn is_orphan(objects: &Snapshot, object: &Value) -> bool {
    let owners = object::list(object, "/metadata/ownerReferences");
    !owners.is_empty()
        && !object::is_deleting(object)
        && owners.iter().all(|owner| is_gone(objects, object::namespace(object), owner))
}

/// Whether an owner is gone. One of a kind that this server does not have is taken to be there. An owner is in the
/// namespace of what it owns, or is of the cluster.
fn is_gone(objects: &Snapshot, namespace: &str, owner: &Value) -> bool {
    let field = |pointer: &str| object::text(owner, pointer);
    let Some(resource) = resource::of_kind(field("/apiVersion"), field("/kind")) else { return false };
    let namespace = if resource.namespaced { namespace } else { "" };
    let found = objects.get(resource.store, namespace, field("/name"));
    found.is_none_or(|found| object::uid(found) != field("/uid"))
}
