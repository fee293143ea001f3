//! Objects whose owners are gone go too (Kubernetes: "Garbage Collection").

use std::collections::HashSet;
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

/// Objects all of whose owners are gone. Owners of kinds that this server does not have are taken to be there.
fn orphans(objects: &Snapshot) -> Vec<(&'static Resource, Arc<Value>)> {
    let owned: Vec<(&'static Resource, &Arc<Value>)> = RESOURCES
        .iter()
        .filter(|resource| resource.view.is_none())
        .flat_map(|resource| objects.list(resource.store, None).map(move |(_, object)| (resource, object)))
        .filter(|(_, object)| {
            !object::list(object, "/metadata/ownerReferences").is_empty() && !object::is_deleting(object)
        })
        .collect();
    if owned.is_empty() {
        return Vec::new();
    }
    let living: HashSet<&str> = objects.all().map(|(_, object)| object::uid(object)).collect();
    let gone = |owner: &Value| {
        resource::of_kind(object::text(owner, "/apiVersion"), object::text(owner, "/kind")).is_some()
            && !living.contains(object::text(owner, "/uid"))
    };
    owned
        .into_iter()
        .filter(|(_, object)| object::list(object, "/metadata/ownerReferences").iter().all(gone))
        .map(|(resource, object)| (resource, object.clone()))
        .collect()
}
