//! What controllers tell users: one event for each object and reason, again once it is forgotten.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::new_meta;
use crate::object::{self, text};
use crate::store::Snapshot;

/// Where events are.
pub(super) const STORE: &str = "events";

/// Something that is to be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Told {
    /// Whether somebody has to do something about it.
    pub(super) is_warning: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// The event that tells it of the object `about`, which is in a namespace; none if it was told already.
pub(super) fn event(objects: &Snapshot, about: &Value, told: &Told) -> Option<Value> {
    let hash = Sha256::new().chain_update(object::uid(about)).chain_update(told.reason).finalize();
    let suffix: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let (namespace, name) = (object::namespace(about), format!("{}.{suffix}", object::name(about)));
    if objects.get(STORE, namespace, &name).is_some() {
        return None;
    }
    let meta = new_meta(namespace, &name);
    let now = meta["creationTimestamp"].clone();
    Some(json!({"apiVersion": "v1", "kind": "Event", "metadata": meta,
        "involvedObject": {"apiVersion": text(about, "/apiVersion"), "kind": text(about, "/kind"), "namespace": namespace,
            "name": object::name(about), "uid": object::uid(about)},
        "type": if told.is_warning { "Warning" } else { "Normal" }, "reason": told.reason, "message": told.message,
        "source": {"component": "solo"}, "reportingComponent": "solo", "firstTimestamp": now, "lastTimestamp": now, "count": 1}))
}
