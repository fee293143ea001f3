//! Claims are bound to volumes that are there (Kubernetes: "Persistent Volumes"), and whoever makes volumes of a class is told
//! which claims wait for one. Nothing is ever reclaimed: a volume whose claim is gone is released, and stays.

mod fit;
mod wait;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Scope, told};
use crate::claim;
use crate::object::{self, text};
use crate::rules;
use crate::store::{Snapshot, Txn};

const VOLUMES: &str = "persistentvolumes";
const CLAIMS: &str = "persistentvolumeclaims";
const CLASSES: &str = "storageclasses.storage.k8s.io";

/// The annotations of claims by which a provisioner knows those that it is to make a volume for.
const PROVISIONER: [&str; 2] =
    ["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];
/// The annotation of claims that says for which node the volume is to be. A provisioner that cannot make one for it takes it
/// away.
const NODE: &str = "volume.kubernetes.io/selected-node";
/// When this server last chose the node.
const CHOSEN: &str = "solo.berth/selected-node-at";
/// The node is not chosen again sooner, or a provisioner without room would be asked without end. That the time is over is
/// seen with the next commit, which is the node's lease at the latest.
const AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// The provisioner of classes that have none.
const NOBODY: &str = "kubernetes.io/no-provisioner";

/// What is to happen to a claim.
#[derive(PartialEq, Debug)]
enum Step {
    Bind(Arc<Value>),
    /// It was bound, and its volume is gone or is another claim's.
    Lose,
    /// Somebody is to make a volume for it.
    Annotate(Vec<(&'static str, String)>),
}

pub(super) fn wanted(objects: &Snapshot, _: &Scope) -> bool {
    let now = Timestamp::now();
    claims(objects).any(|claim| step(objects, claim, now).is_some())
        || volumes(objects).any(|volume| phase(volume, objects) != text(volume, "/status/phase"))
        || news(objects).next().is_some()
}

pub(super) fn work(txn: &mut Txn, _: &Scope) {
    let now = Timestamp::now();
    let all: Vec<Arc<Value>> = claims(txn).cloned().collect();
    for claim in all {
        match step(txn, &claim, now) {
            None => {}
            Some(Step::Bind(volume)) => bind(txn, &claim, &volume),
            Some(Step::Lose) => {
                let mut lost = (*claim).clone();
                object::map_mut(&mut lost, "status").insert("phase".to_owned(), "Lost".into());
                txn.put(CLAIMS, lost);
            }
            Some(Step::Annotate(annotations)) => {
                let mut told = (*claim).clone();
                let kept = object::map_in(object::meta_mut(&mut told), "annotations");
                kept.extend(annotations.into_iter().map(|(key, value)| (key.to_owned(), value.into())));
                txn.put(CLAIMS, told);
            }
        }
    }
    let all: Vec<Arc<Value>> = volumes(txn).cloned().collect();
    for volume in all {
        let phase = phase(&volume, txn);
        if phase != text(&volume, "/status/phase") {
            let mut changed = (*volume).clone();
            object::map_mut(&mut changed, "status").insert("phase".to_owned(), phase.into());
            txn.put(VOLUMES, changed);
        }
    }
    let all: Vec<Value> = news(txn).collect();
    for event in all {
        txn.put(told::STORE, event);
    }
}

/// The events that tell users for what their claims wait.
fn news(objects: &Snapshot) -> impl Iterator<Item = Value> {
    claims(objects).filter_map(|claim| told::event(objects, claim, &wait::why(objects, claim)?))
}

fn volumes(objects: &Snapshot) -> impl Iterator<Item = &Arc<Value>> {
    objects.list(VOLUMES, None).map(|(_, volume)| volume)
}

fn claims(objects: &Snapshot) -> impl Iterator<Item = &Arc<Value>> {
    objects.list(CLAIMS, None).map(|(_, claim)| claim).filter(|claim| !object::is_deleting(claim))
}

/// Whom the volume belongs to: nobody (yet), a claim that is there, or one that is gone.
pub(super) fn phase(volume: &Value, objects: &Snapshot) -> &'static str {
    let uid = text(volume, "/spec/claimRef/uid");
    if uid.is_empty() {
        return "Available";
    }
    let (namespace, name) = (text(volume, "/spec/claimRef/namespace"), text(volume, "/spec/claimRef/name"));
    match objects.get(CLAIMS, namespace, name).filter(|claim| object::uid(claim) == uid) {
        None => "Released",
        Some(claim) if ["", object::name(volume)].contains(&text(claim, "/spec/volumeName")) => "Bound",
        // The claim has got another one.
        Some(_) => "Available",
    }
}

fn step(objects: &Snapshot, claim: &Value, now: Timestamp) -> Option<Step> {
    let of_claim = objects.get(VOLUMES, "", text(claim, "/spec/volumeName"));
    let phase = text(claim, "/status/phase");
    match phase {
        "Bound" | "Lost" => match of_claim {
            Some(volume) if phase == "Bound" && fit::is_bound(volume, claim) => None,
            // It was made again, or its reference was taken away: it is this claim's still.
            Some(volume) if fit::is_open(volume, claim) => Some(Step::Bind(volume.clone())),
            _ => (phase == "Bound").then_some(Step::Lose),
        },
        _ => {
            let class = objects.get(CLASSES, "", text(claim, "/spec/storageClassName"));
            let waits =
                class.is_some_and(|class| text(class, "/volumeBindingMode") == "WaitForFirstConsumer");
            let node = waits.then(|| node_of(objects, claim)).flatten();
            let by_name = waits && node.is_none();
            fit::best(volumes(objects), claim, by_name)
                .cloned()
                .map(Step::Bind)
                .or_else(|| provision(claim, text(class?, "/provisioner"), waits, node, now))
        }
    }
}

/// The node of a pod that is to start with the claim.
fn node_of<'a>(objects: &'a Snapshot, claim: &'a Value) -> Option<&'a str> {
    objects
        .list("pods", Some(object::namespace(claim)))
        .filter(|(_, pod)| !object::is_deleting(pod) && !rules::is_terminal(pod) && claim::has(pod, claim))
        .map(|(_, pod)| text(pod, "/spec/nodeName"))
        .find(|node| !node.is_empty())
}

/// Tells the provisioner of the claim, and for which node the volume is to be if it `waits` for that.
fn provision(
    claim: &Value,
    provisioner: &str,
    waits: bool,
    node: Option<&str>,
    now: Timestamp,
) -> Option<Step> {
    let told = |key: &str| claim["metadata"]["annotations"][key].as_str().unwrap_or_default();
    if provisioner.is_empty()
        || provisioner == NOBODY
        || !text(claim, "/spec/volumeName").is_empty()
        || waits && node.is_none()
    {
        return None;
    }
    let mut annotations: Vec<(&'static str, String)> = PROVISIONER
        .into_iter()
        .filter(|key| told(key) != provisioner)
        .map(|key| (key, provisioner.to_owned()))
        .collect();
    let is_due = told(CHOSEN).parse::<Timestamp>().map_or(true, |at| {
        // A time to come is that of a clock that was wrong.
        let past = now.duration_since(at);
        past >= AGAIN || past < SignedDuration::ZERO
    });
    if let Some(node) = node.filter(|_| told(NODE).is_empty() && is_due) {
        annotations.extend([(NODE, node.to_owned()), (CHOSEN, crate::time::seconds(now))]);
    }
    (!annotations.is_empty()).then_some(Step::Annotate(annotations))
}

fn bind(txn: &mut Txn, claim: &Value, volume: &Value) {
    let mut bound = volume.clone();
    let reference = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": object::namespace(claim),
        "name": object::name(claim), "uid": object::uid(claim)});
    object::map_mut(&mut bound, "spec").insert("claimRef".to_owned(), reference);
    object::map_mut(&mut bound, "status").insert("phase".to_owned(), "Bound".into());
    txn.put(VOLUMES, bound);
    let mut claim = claim.clone();
    object::map_mut(&mut claim, "spec").insert("volumeName".to_owned(), object::name(volume).into());
    let status = object::map_mut(&mut claim, "status");
    status.insert("phase".to_owned(), "Bound".into());
    status.insert("accessModes".to_owned(), volume["spec"]["accessModes"].clone());
    status.insert("capacity".to_owned(), volume["spec"]["capacity"].clone());
    txn.put(CLAIMS, claim);
}

#[cfg(test)]
mod tests;
