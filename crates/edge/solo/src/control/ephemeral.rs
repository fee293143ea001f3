//! Pods get the claims that are made for them (Kubernetes: "Generic ephemeral volumes", KEP-1698). They go with the pod that
//! owns them. One of somebody else under such a name is left alone: the node tells the pod.

use serde_json::{Value, json};

use super::{Scope, new_meta};
use crate::auth::User;
use crate::object;
use crate::resource;
use crate::rules;
use crate::store::{Snapshot, Txn};
use crate::{claim, rules::Scene};

const CLAIMS: &str = "persistentvolumeclaims";

pub(super) fn wanted(objects: &Snapshot, _: &Scope) -> bool {
    missing(objects).next().is_some()
}

pub(super) fn work(txn: &mut Txn, _: &Scope) {
    let all: Vec<Value> = missing(txn).collect();
    for claim in all {
        txn.put(CLAIMS, claim);
    }
}

/// The claims that pods lack. What cannot be a claim is made for none.
fn missing(objects: &Snapshot) -> impl Iterator<Item = Value> {
    let pods = objects.list("pods", None).map(|(_, pod)| &**pod);
    pods.filter(|pod| !object::is_deleting(pod) && !rules::is_terminal(pod)).flat_map(move |pod| {
        let volumes = object::list(pod, "/spec/volumes").iter();
        volumes.filter(|volume| claim::is_ephemeral(volume)).filter_map(move |volume| {
            let name = claim::name(pod, volume)?;
            let is_there = objects.get(CLAIMS, object::namespace(pod), &name).is_some();
            if is_there { None } else { made(objects, pod, volume, &name) }
        })
    })
}

fn made(objects: &Snapshot, pod: &Value, volume: &Value, name: &str) -> Option<Value> {
    let template = volume.pointer("/ephemeral/volumeClaimTemplate")?;
    let mut meta = new_meta(object::namespace(pod), name);
    for kept in ["labels", "annotations"] {
        object::carry_default(&template["metadata"], object::as_map(&mut meta), kept);
    }
    meta["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Pod", "name": object::name(pod),
        "uid": object::uid(pod), "controller": true, "blockOwnerDeletion": true}]);
    let mut claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": template["spec"]});
    let scene = Scene {
        resource: resource::of_kind("v1", "PersistentVolumeClaim")?,
        subresource: "",
        user: &User::default(),
        objects,
    };
    (rules::CLAIM.create)(&mut claim, &scene).ok()?;
    Some(claim)
}
