//! Nodes and RuntimeClasses.

use schema::ErrorKind;
use serde_json::Value;

use super::{Outcome, Scene, immutable, required, wrong};
use crate::object;

pub(super) fn create(node: &mut Value, scene: &Scene<'_>) -> Outcome {
    object::map_mut(node, "spec");
    object::map_mut(node, "status");
    taints(node, scene)
}

pub(super) fn update(old: &Value, new: &mut Value, scene: &Scene<'_>) -> Outcome {
    let old_id = object::text(old, "/spec/providerID");
    if !old_id.is_empty() && old_id != object::text(new, "/spec/providerID") {
        let error = wrong(
            "spec.providerID",
            ErrorKind::Forbidden,
            "",
            "node updates may not change providerID except from \"\" to valid",
        );
        return Err(scene.invalid(new, &[error]));
    }
    taints(new, scene)
}

fn taints(node: &Value, scene: &Scene<'_>) -> Outcome {
    let mut errors = Vec::new();
    for (index, taint) in object::list(node, "/spec/taints").iter().enumerate() {
        let effect = object::text(taint, "/effect");
        if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
            let detail = "supported values: \"NoExecute\", \"NoSchedule\", \"PreferNoSchedule\"";
            errors.push(wrong(
                &format!("spec.taints[{index}].effect"),
                ErrorKind::Unsupported,
                effect,
                detail,
            ));
        }
    }
    scene.valid(node, &errors)
}

pub(super) fn create_class(class: &mut Value, scene: &Scene<'_>) -> Outcome {
    scene.valid(class, &required(class, "/handler", "handler"))
}

pub(super) fn update_class(old: &Value, new: &mut Value, scene: &Scene<'_>) -> Outcome {
    scene.valid(new, &immutable(old, new, "/handler", "handler"))
}
