//! Pods get the one node as soon as it takes pods, and go with it when it is gone.

use std::sync::Arc;

use serde_json::Value;

use super::Scope;
use crate::object;
use crate::rules;
use crate::store::{Snapshot, Txn};

pub(super) fn wanted(objects: &Snapshot, _: &Scope) -> bool {
    pods(objects).any(|pod| rules::node_for(pod, objects).is_some() || is_stranded(pod, objects))
}

pub(super) fn work(txn: &mut Txn, _: &Scope) {
    let all: Vec<Arc<Value>> = pods(txn).cloned().collect();
    for pod in all {
        if let Some(node) = rules::node_for(&pod, txn) {
            let mut bound = (*pod).clone();
            rules::bind(&mut bound, &node);
            txn.put("pods", bound);
        } else if is_stranded(&pod, txn) {
            txn.remove("pods", object::namespace(&pod), object::name(&pod));
        }
    }
}

fn pods(objects: &Snapshot) -> impl Iterator<Item = &Arc<Value>> {
    objects.list("pods", None).map(|(_, pod)| pod)
}

/// Whether the pod is to end on a node that no longer exists, so that nobody would ever say that it did.
fn is_stranded(pod: &Value, objects: &Snapshot) -> bool {
    object::is_deleting(pod)
        && !object::has_finalizers(pod)
        && objects.get("nodes", "", object::text(pod, "/spec/nodeName")).is_none()
}
