//! Pods get the claims that are made for them (Kubernetes: "Generic ephemeral volumes", KEP-1698). They go with the pod that
//! owns them. One of somebody else under such a name is left alone, and the pod is told.

use serde_json::{Value, json};

use super::told::{self, Told};
use super::{Scope, new_meta};
use crate::auth::User;
use crate::claim;
use crate::object;
use crate::resource;
use crate::rules::{self, Scene};
use crate::store::{Snapshot, Txn};

const CLAIMS: &str = "persistentvolumeclaims";

pub(super) fn wanted(objects: &Snapshot, _: &Scope) -> bool {
    missing(objects).next().is_some()
}

pub(super) fn work(txn: &mut Txn, _: &Scope) {
    let all: Vec<(&'static str, Value)> = missing(txn).collect();
    for (store, object) in all {
        txn.put(store, object);
    }
}

/// The claims that pods lack, and what is to be told of those that they cannot get. What cannot be a claim is made for none.
fn missing(objects: &Snapshot) -> impl Iterator<Item = (&'static str, Value)> {
    let pods = objects.list("pods", None).map(|(_, pod)| &**pod);
    pods.filter(|pod| !object::is_deleting(pod) && !rules::is_terminal(pod)).flat_map(move |pod| {
        let volumes = object::list(pod, "/spec/volumes").iter();
        volumes.filter(|volume| claim::is_ephemeral(volume)).filter_map(move |volume| {
            let name = claim::name(pod, volume)?;
            match objects.get(CLAIMS, object::namespace(pod), &name) {
                None => Some((CLAIMS, made(objects, pod, volume, &name)?)),
                Some(found) if claim::is_made_for(found, pod) => None,
                Some(_) => Some((told::STORE, told::event(objects, pod, &refused(pod, volume, &name))?)),
            }
        })
    })
}

fn refused(pod: &Value, volume: &Value, claim: &str) -> Told {
    let (namespace, volume) = (object::namespace(pod), object::text(volume, "/name"));
    let message = format!(
        "ephemeral volume {volume}: PVC {namespace}/{claim} was not created for pod {namespace}/{} (pod is not owner)",
        object::name(pod)
    );
    Told { is_warning: true, reason: "FailedBinding", message }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(more: Value) -> (&'static str, Value) {
        let mut pod = json!({"metadata": {"namespace": "a", "name": "p", "uid": "1"}, "status": {"phase": "Pending"}, "spec": {"volumes": [
            {"name": "v", "ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"x": "y"}},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}}]}});
        json_patch::merge(&mut pod, &more);
        ("pods", pod)
    }

    fn claim(owner: &str) -> (&'static str, Value) {
        (
            CLAIMS,
            json!({"metadata": {"namespace": "a", "name": "p-v", "ownerReferences": [{"uid": owner, "controller": true}]}}),
        )
    }

    #[test]
    fn pods_get_the_claims_that_are_made_for_them() {
        let class = |name: &str, made: &str| {
            let annotations = json!({"storageclass.kubernetes.io/is-default-class": "true"});
            let meta = json!({"name": name, "annotations": annotations, "creationTimestamp": made});
            ("storageclasses.storage.k8s.io", json!({"metadata": meta, "provisioner": "d"}))
        };
        let objects = Snapshot::of([
            pod(json!({})),
            class("old", "2026-01-01T00:00:00Z"),
            class("new", "2026-01-02T00:00:00Z"),
        ]);
        let (store, made) = missing(&objects).next().unwrap();
        assert_eq!((store, object::namespace(&made), object::name(&made)), (CLAIMS, "a", "p-v"));
        assert!(claim::has(objects.get("pods", "a", "p").unwrap(), &made));
        assert_eq!(made["metadata"]["labels"]["x"], "y");
        assert_eq!(
            (&made["status"]["phase"], &made["spec"]["storageClassName"]),
            (&json!("Pending"), &json!("new"))
        );
        for (name, objects, expected) in [
            ("there", vec![pod(json!({})), claim("1")], ""),
            ("somebody else's", vec![pod(json!({})), claim("2")], "events"),
            (
                "of a pod that is to end",
                vec![pod(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}))],
                "",
            ),
            ("of a pod that has ended", vec![pod(json!({"status": {"phase": "Failed"}}))], ""),
            ("of no pod's own", vec![pod(json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}))], ""),
            (
                "that cannot be",
                vec![pod(
                    json!({"spec": {"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]}}),
                )],
                "",
            ),
        ] {
            let objects = Snapshot::of(objects);
            let found = missing(&objects).next();
            assert_eq!(found.as_ref().map_or("", |(store, _)| store), expected, "{name}");
        }
    }
}
