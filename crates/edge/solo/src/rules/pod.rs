//! What a pod gets on its creation.

use serde_json::{Value, json};
use types::{Pod, QosClass};

use super::{Outcome, Scene, account, storage};
use crate::error::ApiError;
use crate::object;
use crate::store::Snapshot;

pub(super) fn create(pod: &mut Value, scene: &Scene<'_>) -> Outcome {
    account::admit(pod, scene)?;
    priority(pod, scene)?;
    runtime_class(pod, scene)?;
    templates(pod, scene)?;
    let defaulted = default_and_validate(pod, scene, schema::validate_pod)?;
    let qos = format!("{:?}", QosClass::of(&defaulted));
    let map = object::as_map(pod);
    map.insert("status".to_owned(), json!({"phase": "Pending", "qosClass": qos}));
    if let Some(node) = node_for(pod, scene.objects) {
        bind(pod, &node);
    }
    Ok(())
}

/// Defaults and validates by the rules that static pods pass too.
pub(super) fn default_and_validate(
    pod: &mut Value,
    scene: &Scene<'_>,
    validate: fn(&Pod) -> Vec<schema::FieldError>,
) -> Result<Pod, ApiError> {
    let unreadable =
        |error: serde_json::Error| ApiError::bad_request(format!("cannot read the pod: {error}"));
    let mut typed: Pod = serde_json::from_value(pod.take()).map_err(unreadable)?;
    schema::default_pod(&mut typed);
    let errors = validate(&typed);
    *pod = serde_json::to_value(&typed).map_err(unreadable)?;
    scene.valid(pod, &errors)?;
    Ok(typed)
}

/// The priority of a class that is an object. Those of the system are known to defaulting.
fn priority(pod: &mut Value, scene: &Scene<'_>) -> Outcome {
    let name = object::text(pod, "/spec/priorityClassName").to_owned();
    if name.is_empty() || matches!(name.as_str(), "system-node-critical" | "system-cluster-critical") {
        return Ok(());
    }
    let Some(class) = scene.objects.get("priorityclasses.scheduling.k8s.io", "", &name) else {
        return Err(scene.forbidden(pod, &format!("no PriorityClass with name {name} was found")));
    };
    let spec = object::map_mut(pod, "spec");
    spec.insert("priority".to_owned(), class["value"].clone());
    if let Some(policy) = class.get("preemptionPolicy") {
        spec.insert("preemptionPolicy".to_owned(), policy.clone());
    }
    Ok(())
}

/// What the pod's RuntimeClass adds to it (Kubernetes: "Runtime Class", "Pod Overhead").
fn runtime_class(pod: &mut Value, scene: &Scene<'_>) -> Outcome {
    let name = object::text(pod, "/spec/runtimeClassName").to_owned();
    if name.is_empty() {
        return Ok(());
    }
    let Some(class) = scene.objects.get("runtimeclasses.node.k8s.io", "", &name) else {
        return Err(scene.forbidden(pod, &format!("pod rejected: RuntimeClass {name:?} not found")));
    };
    let overhead = class.pointer("/overhead/podFixed");
    let spec = object::map_mut(pod, "spec");
    match (overhead, spec.get("overhead")) {
        (Some(ours), Some(theirs)) if ours != theirs => Err(scene
            .forbidden(pod, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead")),
        (Some(ours), _) => {
            spec.insert("overhead".to_owned(), ours.clone());
            Ok(())
        }
        (None, _) => Ok(()),
    }
}

/// The claims that are to be made for the pod have to be ones.
fn templates(pod: &Value, scene: &Scene<'_>) -> Outcome {
    let mut errors = Vec::new();
    for (index, volume) in object::list(pod, "/spec/volumes").iter().enumerate() {
        let Some(template) = volume.pointer("/ephemeral/volumeClaimTemplate") else { continue };
        errors.extend(storage::claim_errors(template).into_iter().map(|mut error| {
            error.path = format!("spec.volumes[{index}].ephemeral.volumeClaimTemplate.{}", error.path);
            error
        }));
    }
    scene.valid(pod, &errors)
}

/// The node on which the pod is to run, once there is one that takes pods. There is one node; the pod's affinity and
/// taints are for the node to judge.
pub(crate) fn node_for(pod: &Value, objects: &Snapshot) -> Option<String> {
    let free = object::text(pod, "/spec/nodeName").is_empty()
        && object::list(pod, "/spec/schedulingGates").is_empty()
        && object::text(pod, "/spec/schedulerName") == "default-scheduler"
        && !object::is_deleting(pod);
    if !free {
        return None;
    }
    objects
        .list("nodes", None)
        .find(|(_, node)| !object::flag(node, "/spec/unschedulable") && !object::is_deleting(node))
        .map(|(key, _)| key.name.clone())
}

/// Binds the pod to a node.
pub(crate) fn bind(pod: &mut Value, node: &str) {
    object::map_mut(pod, "spec").insert("nodeName".to_owned(), node.into());
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": crate::time::now()});
    super::set_condition(pod, condition);
}
