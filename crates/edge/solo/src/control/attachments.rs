//! Volumes are attached to the node of the pods that have them, and detached when it is through with them (Kubernetes:
//! "VolumeAttachment"; the Node's `volumesInUse` and `volumesAttached`). Whoever attaches does so for each VolumeAttachment:
//! for a CSI driver its external attacher. Disks of iSCSI and Fibre Channel need nobody: to be in use is enough.
//!
//! Nothing is detached that the node says is in use, whatever becomes of the node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Scope, new_meta};
use crate::claim;
use crate::object::{self, text};
use crate::resource;
use crate::rest::begin_deletion;
use crate::rules;
use crate::store::{Snapshot, Txn};

const STORE: &str = "volumeattachments.storage.k8s.io";
const VERSION: &str = "storage.k8s.io/v1";
const KIND: &str = "VolumeAttachment";
/// The annotation of nodes whose volumes are attached for them.
const MANAGED: &str = "volumes.kubernetes.io/controller-managed-attach-detach";
/// What the unique names of volumes of CSI drivers begin with.
const CSI: &str = "kubernetes.io/csi/";
/// What those of volumes begin with that are attached as soon as they are in use.
const AT_ONCE: [&str; 2] = ["kubernetes.io/iscsi/", "kubernetes.io/fc/"];

/// What is to be written.
#[derive(PartialEq, Debug)]
enum Change {
    Attach(Value),
    Detach(Arc<Value>),
    /// The Node with what is attached to it.
    Tell(Value),
}

pub(super) fn wanted(objects: &Snapshot, _: &Scope) -> bool {
    nodes(objects).any(|node| !changes(objects, node).is_empty())
}

/// In one write: who sees that a volume is on its way out sees that it is not attached, and was not in use before.
pub(super) fn work(txn: &mut Txn, _: &Scope) {
    let all: Vec<Change> = nodes(txn).flat_map(|node| changes(txn, node)).collect();
    for change in all {
        match change {
            Change::Attach(attachment) => {
                txn.put(STORE, attachment);
            }
            Change::Detach(attachment) => {
                if let Some(resource) = resource::of_kind(VERSION, KIND) {
                    begin_deletion(txn, resource, &attachment, None);
                }
            }
            Change::Tell(node) => {
                txn.put("nodes", node);
            }
        }
    }
}

/// The nodes that leave attaching to others.
fn nodes(objects: &Snapshot) -> impl Iterator<Item = &Arc<Value>> {
    let nodes = objects.list("nodes", None).map(|(_, node)| node);
    nodes.filter(|node| node["metadata"]["annotations"][MANAGED] == "true")
}

/// A volume that pods of a node have.
struct Wanted<'a> {
    driver: &'a str,
    volume: &'a Value,
    /// Whether one of the pods may still start.
    starts: bool,
}

/// What is to change of the volumes of `node`.
fn changes(objects: &Snapshot, node: &Value) -> Vec<Change> {
    let name = object::name(node);
    let wanted = wanted_by_pods(objects, name);
    let in_use: BTreeSet<&str> =
        object::list(node, "/status/volumesInUse").iter().filter_map(Value::as_str).collect();
    let listed = object::list(node, "/status/volumesAttached");
    let of_names = |names: &mut dyn Iterator<Item = &str>| -> BTreeSet<String> {
        names.filter_map(|unique| attachment_of(unique, name)).collect()
    };
    let used = of_names(&mut in_use.iter().copied());
    let told = of_names(&mut listed.iter().map(|one| text(one, "/name")));

    let mut changes = Vec::new();
    for (attachment, wanted) in wanted.iter().filter(|(_, wanted)| wanted.starts) {
        if objects.get(STORE, "", attachment).is_none() && !is_elsewhere(objects, wanted.volume, name) {
            changes.push(Change::Attach(new_attachment(attachment, wanted, name)));
        }
    }
    let detached: Vec<&Arc<Value>> = objects
        .list(STORE, None)
        .map(|(_, attachment)| attachment)
        .filter(|attachment| {
            let own = object::name(attachment);
            text(attachment, "/spec/nodeName") == name
                && is_ours(own)
                && !object::is_deleting(attachment)
                && !wanted.contains_key(own)
                && !used.contains(own)
                // A Node that was made anew may not have said yet what is in use.
                && (told.contains(own) || made_at(attachment) >= made_at(node))
        })
        .collect();
    let attached = |unique: &str| {
        let Some(own) = attachment_of(unique, name) else { return false };
        objects.get(STORE, "", &own).is_some_and(|attachment| {
            object::flag(attachment, "/status/attached")
                && !object::is_deleting(attachment)
                && !detached.iter().any(|gone| object::name(gone) == own)
        })
    };
    let is_kept = |one: &&Value| {
        let unique = text(one, "/name");
        if unique.starts_with(CSI) {
            attached(unique)
        } else {
            // Of other kinds others know.
            !AT_ONCE.iter().any(|kind| unique.starts_with(kind)) || in_use.contains(unique)
        }
    };
    let mut list: Vec<Value> = listed.iter().filter(is_kept).cloned().collect();
    for unique in in_use {
        let is_attached = AT_ONCE.iter().any(|kind| unique.starts_with(kind)) || attached(unique);
        if is_attached && !list.iter().any(|one| one["name"] == unique) {
            list.push(json!({"name": unique, "devicePath": ""}));
        }
    }
    if list != listed {
        let mut node = node.clone();
        object::map_mut(&mut node, "status").insert("volumesAttached".to_owned(), list.into());
        changes.push(Change::Tell(node));
    }
    changes.extend(detached.into_iter().cloned().map(Change::Detach));
    changes
}

/// The volumes of CSI drivers that attach which pods of the node have, by the names of their VolumeAttachments.
fn wanted_by_pods<'a>(objects: &'a Snapshot, node: &str) -> BTreeMap<String, Wanted<'a>> {
    let mut all: BTreeMap<String, Wanted<'_>> = BTreeMap::new();
    let pods = objects.list("pods", None).map(|(_, pod)| &**pod);
    for pod in pods.filter(|pod| text(pod, "/spec/nodeName") == node && !rules::is_terminal(pod)) {
        for volume in object::list(pod, "/spec/volumes").iter().filter_map(|one| bound(objects, pod, one)) {
            let (driver, handle) = (text(volume, "/spec/csi/driver"), text(volume, "/spec/csi/volumeHandle"));
            if driver.is_empty() || !attaches(objects, driver) {
                continue;
            }
            let wanted = all.entry(attachment_name(driver, handle, node));
            wanted.or_insert(Wanted { driver, volume, starts: false }).starts |= !object::is_deleting(pod);
        }
    }
    all
}

/// The PersistentVolume by which `pod` has `volume`.
fn bound<'a>(objects: &'a Snapshot, pod: &Value, volume: &Value) -> Option<&'a Value> {
    let claim = objects.get("persistentvolumeclaims", object::namespace(pod), &claim::name(pod, volume)?)?;
    let found = objects.get("persistentvolumes", "", text(claim, "/spec/volumeName"))?;
    let is_bound = text(claim, "/status/phase") == "Bound"
        && text(found, "/spec/claimRef/uid") == object::uid(claim)
        && claim::has(pod, claim);
    is_bound.then_some(found)
}

/// Whether volumes of the driver have to be attached. They have to, unless it says that they need not.
fn attaches(objects: &Snapshot, driver: &str) -> bool {
    objects
        .get("csidrivers.storage.k8s.io", "", driver)
        .is_none_or(|driver| driver["spec"]["attachRequired"] != false)
}

/// Whether the volume is, or is to be, attached to another node, and may be attached to one alone.
fn is_elsewhere(objects: &Snapshot, volume: &Value, node: &str) -> bool {
    let modes = object::list(volume, "/spec/accessModes");
    let is_shared = modes.iter().any(|mode| mode == "ReadWriteMany" || mode == "ReadOnlyMany");
    !is_shared
        && objects.list(STORE, None).any(|(_, attachment)| {
            text(attachment, "/spec/source/persistentVolumeName") == object::name(volume)
                && text(attachment, "/spec/nodeName") != node
        })
}

fn new_attachment(name: &str, wanted: &Wanted<'_>, node: &str) -> Value {
    json!({"apiVersion": VERSION, "kind": KIND, "metadata": new_meta("", name),
        "spec": {"attacher": wanted.driver, "nodeName": node,
            "source": {"persistentVolumeName": object::name(wanted.volume)}}})
}

/// The name of the VolumeAttachment of a volume of a CSI driver to a node.
fn attachment_name(driver: &str, handle: &str, node: &str) -> String {
    let hash = Sha256::new().chain_update(handle).chain_update(driver).chain_update(node).finalize();
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("csi-{hex}")
}

/// The same from the volume's name in the Node's status, if it is of a CSI driver.
fn attachment_of(unique: &str, node: &str) -> Option<String> {
    let (driver, handle) = unique.strip_prefix(CSI)?.split_once('^')?;
    Some(attachment_name(driver, handle, node))
}

/// Whether a VolumeAttachment has such a name as those that are made here. Others were made by somebody for a purpose.
fn is_ours(name: &str) -> bool {
    name.strip_prefix("csi-")
        .is_some_and(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// In the form of the API, whose order is that of time.
fn made_at(object: &Value) -> &str {
    text(object, "/metadata/creationTimestamp")
}

#[cfg(test)]
mod tests;
