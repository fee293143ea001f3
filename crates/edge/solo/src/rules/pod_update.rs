//! What may change of a pod.

use schema::ErrorKind;
use serde_json::Value;

use super::{Outcome, Scene, pod, wrong};
use crate::object;

pub(super) fn update(old: &Value, new: &mut Value, scene: &Scene<'_>) -> Outcome {
    match scene.subresource {
        "status" => {
            // Whoever tells of a pod's state does not decide over its owners.
            object::carry(&old["metadata"], object::meta_mut(new), "ownerReferences");
            object::carry_default(&old["status"], object::map_mut(new, "status"), "qosClass");
            Ok(())
        }
        "resize" => {
            only_changes(old, new, scene, forget_resources, RESIZE)?;
            validate(new, scene)
        }
        "ephemeralcontainers" => {
            only_changes(old, new, scene, forget_ephemeral, EPHEMERAL)?;
            ephemeral_grow(old, new, scene)?;
            validate(new, scene)
        }
        _ => {
            validate(new, scene)?;
            only_changes(old, new, scene, forget_mutable, MUTABLE)
        }
    }
}

fn validate(pod: &mut Value, scene: &Scene<'_>) -> Outcome {
    pod::default_and_validate(pod, scene, schema::validate_changed_pod).map(drop)
}

const MUTABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
const RESIZE: &str = "only cpu and memory resources are mutable";
const EPHEMERAL: &str = "only ephemeral containers may be added";

/// Refuses a change of the spec that is still there after both forgot what may change.
fn only_changes(
    old: &Value,
    new: &Value,
    scene: &Scene<'_>,
    forget: fn(&mut Value),
    detail: &str,
) -> Outcome {
    let [mut before, mut after] = [old, new].map(|pod| pod.get("spec").cloned().unwrap_or_default());
    forget(&mut before);
    forget(&mut after);
    if before == after {
        return Ok(());
    }
    Err(scene.invalid(new, &[wrong("spec", ErrorKind::Forbidden, "", detail)]))
}

fn forget_in(spec: &mut Value, lists: &[&str], fields: &[&str]) {
    for list in lists {
        for container in spec.get_mut(*list).and_then(Value::as_array_mut).into_iter().flatten() {
            for field in fields {
                object::as_map(container).remove(*field);
            }
        }
    }
}

fn forget_mutable(spec: &mut Value) {
    forget_in(spec, &["containers", "initContainers"], &["image"]);
    let map = object::as_map(spec);
    for field in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates"]
    {
        map.remove(field);
    }
}

fn forget_resources(spec: &mut Value) {
    forget_in(spec, &["containers", "initContainers"], &["resources", "resizePolicy"]);
    object::as_map(spec).remove("resources");
}

fn forget_ephemeral(spec: &mut Value) {
    object::as_map(spec).remove("ephemeralContainers");
}

fn ephemeral_grow(old: &Value, new: &Value, scene: &Scene<'_>) -> Outcome {
    let now = object::list(new, "/spec/ephemeralContainers");
    for container in object::list(old, "/spec/ephemeralContainers") {
        if !now.iter().any(|one| one["name"] == container["name"]) {
            let name = object::text(container, "/name");
            let error = wrong(
                "spec.ephemeralContainers",
                ErrorKind::Forbidden,
                name,
                "existing ephemeral containers may not be removed",
            );
            return Err(scene.invalid(new, &[error]));
        }
    }
    Ok(())
}

/// Whether the pod has ended for good.
pub(crate) fn is_terminal(pod: &Value) -> bool {
    types::pod::is_terminal_phase(object::text(pod, "/status/phase"))
}

/// Puts a condition into the object's status, in the place of the one of its type.
pub(crate) fn set_condition(object: &mut Value, condition: Value) {
    let conditions = object::map_mut(object, "status").entry("conditions").or_insert(Value::Null);
    match conditions {
        Value::Array(list) => {
            list.retain(|one| one["type"] != condition["type"]);
            list.push(condition);
        }
        other => *other = Value::Array(vec![condition]),
    }
}
