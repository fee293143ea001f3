//! What a node may write into the objects that it may write (Kubernetes: "NodeRestriction"). Nobody else is restricted.

use serde_json::Value;
use types::labels::CONFIG_MIRROR;

use crate::error::ApiError;
use crate::object;
use crate::rules::Scene;

type Outcome = Result<(), ApiError>;

/// Labels that only others than the node may set.
const RESERVED_LABELS: &str = "node-restriction.kubernetes.io/";

fn refuse(scene: &Scene<'_>, object: &Value, why: &str) -> Outcome {
    Err(scene.forbidden(object, why))
}

/// A new object.
pub(crate) fn create(scene: &Scene<'_>, object: &Value) -> Outcome {
    let Some(node) = scene.user.node() else { return Ok(()) };
    let name = object::name(object);
    match scene.resource.store {
        "pods" => mirror(scene, node, object),
        "nodes" if name != node => {
            refuse(scene, object, &format!("node {node:?} is not allowed to modify node {name:?}"))
        }
        "nodes" => reserved_labels(scene, &Value::Null, object),
        "leases.coordination.k8s.io" if name != node => {
            refuse(scene, object, "can only access node lease with the same name as the requesting node")
        }
        "csinodes.storage.k8s.io" if name != node => {
            refuse(scene, object, "can only access CSINode with the same name as the requesting node")
        }
        "podcertificaterequests.certificates.k8s.io" => certificate(scene, node, object),
        _ => Ok(()),
    }
}

/// A node may ask for certificates of the pods that run on it, and of no others.
fn certificate(scene: &Scene<'_>, node: &str, request: &Value) -> Outcome {
    let said = |field: &str| object::text(request, &format!("/spec/{field}"));
    let pod = scene.objects.get("pods", object::namespace(request), said("podName"));
    let fits = |pod: &Value| {
        object::uid(pod) == said("podUID")
            && object::text(pod, "/spec/nodeName") == node
            && object::text(pod, "/spec/serviceAccountName") == said("serviceAccountName")
            && pod["metadata"]["annotations"].get(CONFIG_MIRROR).is_none()
    };
    if said("nodeName") == node && pod.is_some_and(|pod| fits(pod)) {
        return Ok(());
    }
    refuse(scene, request, &format!("node {node:?} may only ask for certificates of the pods that run on it"))
}

/// A node may only show the pods that it runs without the API server, and these open nothing to it.
fn mirror(scene: &Scene<'_>, node: &str, pod: &Value) -> Outcome {
    if pod["metadata"]["annotations"].get(CONFIG_MIRROR).is_none() {
        let why = format!(
            "pod does not have {CONFIG_MIRROR:?} annotation, node {node:?} can only create mirror pods"
        );
        return refuse(scene, pod, &why);
    }
    if object::text(pod, "/spec/nodeName") != node {
        let why = format!("node {node:?} can only create pods with spec.nodeName set to itself");
        return refuse(scene, pod, &why);
    }
    let owners = object::list(pod, "/metadata/ownerReferences");
    let by_node = |owner: &Value| {
        owner["kind"] == "Node"
            && owner["apiVersion"] == "v1"
            && owner["name"] == node
            && owner["controller"] == true
            && scene
                .objects
                .get("nodes", "", node)
                .is_some_and(|found| owner["uid"] == found["metadata"]["uid"])
    };
    if !matches!(owners, [owner] if by_node(owner)) {
        return refuse(
            scene,
            pod,
            &format!("node {node:?} can only create pods with an owner reference set to itself"),
        );
    }
    if !object::text(pod, "/spec/serviceAccountName").is_empty() {
        return refuse(
            scene,
            pod,
            &format!("node {node:?} can not create pods that reference a service account"),
        );
    }
    let spec = pod["spec"].to_string();
    for (key, what) in [
        ("\"secret\":", "secrets"),
        ("\"secretKeyRef\":", "secrets"),
        ("\"secretRef\":", "secrets"),
        ("\"configMap\":", "configmaps"),
        ("\"configMapKeyRef\":", "configmaps"),
        ("\"configMapRef\":", "configmaps"),
        ("\"persistentVolumeClaim\":", "persistentvolumeclaims"),
        ("\"serviceAccountToken\":", "service account tokens"),
    ] {
        if spec.contains(key) {
            return refuse(scene, pod, &format!("node {node:?} can not create pods that reference {what}"));
        }
    }
    Ok(())
}

/// A change.
pub(crate) fn update(scene: &Scene<'_>, old: &Value, new: &Value) -> Outcome {
    let Some(node) = scene.user.node() else { return Ok(()) };
    match scene.resource.store {
        "pods" => {
            own_pod(scene, node, old)?;
            // A status tells of the pod; labels decide who sends it traffic.
            if old["metadata"].get("labels") != new["metadata"].get("labels") {
                return refuse(scene, old, &format!("node {node:?} cannot update labels through pod status"));
            }
            Ok(())
        }
        "nodes" => {
            if old["spec"].get("taints") != new["spec"].get("taints") {
                return refuse(scene, old, &format!("node {node:?} is not allowed to modify taints"));
            }
            if old["metadata"].get("ownerReferences") != new["metadata"].get("ownerReferences") {
                return refuse(
                    scene,
                    old,
                    &format!("node {node:?} is not allowed to modify ownerReferences"),
                );
            }
            reserved_labels(scene, old, new)
        }
        "persistentvolumeclaims" if !only_grows(old, new) => {
            let why = format!(
                "node {node:?} is not allowed to update fields other than status.quantity and status.conditions"
            );
            refuse(scene, old, &why)
        }
        _ => Ok(()),
    }
}

/// Whether nothing of a claim is changed but how large its volume is, and how far it is with growing.
fn only_grows(old: &Value, new: &Value) -> bool {
    let rest = |claim: &Value| {
        let mut claim = claim.clone();
        let kept: [(&str, &[&str]); 2] = [
            ("metadata", &["resourceVersion", "managedFields"]),
            ("status", &["capacity", "conditions", "allocatedResources", "allocatedResourceStatuses"]),
        ];
        for (part, fields) in kept {
            if let Some(part) = claim.get_mut(part).and_then(Value::as_object_mut) {
                fields.iter().for_each(|field| drop(part.remove(*field)));
            }
        }
        claim
    };
    rest(old) == rest(new)
}

/// A removal.
pub(crate) fn delete(scene: &Scene<'_>, old: &Value) -> Outcome {
    let Some(node) = scene.user.node() else { return Ok(()) };
    match scene.resource.store {
        "pods" => own_pod(scene, node, old),
        _ => Ok(()),
    }
}

/// A pod that is evicted or changed by a node has to be its own.
pub(crate) fn own_pod(scene: &Scene<'_>, node: &str, pod: &Value) -> Outcome {
    if object::text(pod, "/spec/nodeName") == node {
        return Ok(());
    }
    refuse(scene, pod, &format!("node {node:?} can only modify pods with spec.nodeName set to itself"))
}

fn reserved_labels(scene: &Scene<'_>, old: &Value, new: &Value) -> Outcome {
    let reserved = |object: &Value| -> Vec<(String, Value)> {
        let labels = object["metadata"]["labels"].as_object();
        let mut found: Vec<(String, Value)> = labels
            .into_iter()
            .flatten()
            .filter(|(key, _)| key.starts_with(RESERVED_LABELS))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    };
    if reserved(old) == reserved(new) {
        return Ok(());
    }
    let why = format!("is not allowed to modify labels with the prefix {RESERVED_LABELS}");
    refuse(scene, new, &why)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_node_may_change_of_a_claim() {
        let old = json!({
            "metadata": {"name": "data", "resourceVersion": "1"}, "spec": {"volumeName": "pv"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
        });
        for (pointer, value, allowed) in [
            ("/metadata/resourceVersion", json!("2"), true),
            ("/metadata/labels", json!({"a": "b"}), false),
            ("/spec/volumeName", json!("other"), false),
            ("/status/phase", json!("Lost"), false),
            ("/status/capacity", json!({"storage": "2Gi"}), true),
            ("/status/conditions", json!([{"type": "NodeResizeError"}]), true),
            ("/status/allocatedResourceStatuses", json!({"storage": "NodeResizeInProgress"}), true),
        ] {
            let mut new = old.clone();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            new.pointer_mut(parent).unwrap()[key] = value;
            assert_eq!(only_grows(&old, &new), allowed, "{pointer}");
        }
    }
}
