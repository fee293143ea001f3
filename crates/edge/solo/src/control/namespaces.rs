//! Namespaces: the ones there always are, what each has, and how one that is deleted ends.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Scope;
use crate::object;
use crate::resource::{Keeping, RESOURCES, Resource};
use crate::rest::begin_deletion;
use crate::rules;
use crate::store::{Snapshot, Txn};

/// Makes what there has to be before the first request: the namespaces, and the service by which pods find the API.
pub(crate) fn establish(txn: &mut Txn, ca: &str, port: u16) {
    for name in rules::DEFAULT_NAMESPACES {
        if txn.get("namespaces", "", name).is_none() {
            txn.put(
                "namespaces",
                json!({"apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": name, "uid": crate::random::uid(), "creationTimestamp": crate::time::now(),
                        "labels": {"kubernetes.io/metadata.name": name}},
                    "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}),
            );
        }
        rules::furnish(txn, name, ca);
    }
    if txn.get("services", "default", "kubernetes").is_none() {
        txn.put("services", rules::kubernetes_service(port));
    }
}

pub(super) fn wanted(objects: &Snapshot, scope: &Scope) -> bool {
    objects.list("namespaces", None).any(|(key, namespace)| {
        if object::is_deleting(namespace) {
            let mut content = content(objects, &key.name).peekable();
            content.peek().is_none() || content.any(|(_, object)| !object::is_deleting(object))
        } else {
            !rules::is_furnished(objects, &key.name, &scope.ca)
        }
    })
}

pub(super) fn work(txn: &mut Txn, scope: &Scope) {
    let namespaces: Vec<(String, bool)> = txn
        .list("namespaces", None)
        .map(|(key, namespace)| (key.name.clone(), object::is_deleting(namespace)))
        .collect();
    for (name, deleting) in namespaces {
        if deleting {
            empty(txn, &name);
        } else {
            rules::furnish(txn, &name, &scope.ca);
        }
    }
}

/// Deletes what is in the namespace, and the namespace once nothing is. Pods end in their grace period first.
fn empty(txn: &mut Txn, namespace: &str) {
    let all: Vec<(&'static Resource, Arc<Value>)> =
        content(txn, namespace).map(|(resource, object)| (resource, object.clone())).collect();
    for (resource, object) in all {
        if !object::is_deleting(&object) {
            begin_deletion(txn, resource, &object, None);
        }
    }
    if content(txn, namespace).next().is_none() {
        txn.remove("namespaces", "", namespace);
    }
}

fn content<'a>(
    objects: &'a Snapshot,
    namespace: &'a str,
) -> impl Iterator<Item = (&'static Resource, &'a Arc<Value>)> {
    RESOURCES
        .iter()
        .filter(|one| one.namespaced && one.keeping == Keeping::Stored && one.view.is_none())
        .flat_map(move |resource| {
            objects.list(resource.store, Some(namespace)).map(move |(_, object)| (resource, object))
        })
}
