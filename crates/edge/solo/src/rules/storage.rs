//! Volumes, claims, CSI drivers and storage classes.

use schema::{ErrorKind, FieldError};
use serde_json::{Value, json};
use types::Quantity;
use types::k8s::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::{Outcome, Scene, required, wrong};
use crate::object;

const ACCESS_MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

pub(super) fn create_volume(volume: &mut Value, scene: &Scene<'_>) -> Outcome {
    let spec = object::map_mut(volume, "spec");
    object::default(spec, "persistentVolumeReclaimPolicy", "Retain");
    object::default(spec, "volumeMode", "Filesystem");
    object::as_map(volume).insert("status".to_owned(), json!({"phase": "Pending"}));
    let mut errors = Vec::new();
    if object::list(volume, "/spec/accessModes").is_empty() {
        errors.push(wrong("spec.accessModes", ErrorKind::Required, "", ""));
    }
    errors.extend(access_modes(volume));
    errors.extend(required(volume, "/spec/capacity/storage", "spec.capacity"));
    errors.extend(size(volume, "/spec/capacity/storage", "spec.capacity[storage]"));
    scene.valid(volume, &errors)
}

pub(super) fn create_claim(claim: &mut Value, scene: &Scene<'_>) -> Outcome {
    object::default(object::map_mut(claim, "spec"), "volumeMode", "Filesystem");
    object::as_map(claim).insert("status".to_owned(), json!({"phase": "Pending"}));
    let mut errors = Vec::new();
    if object::list(claim, "/spec/accessModes").is_empty() {
        let detail = "at least 1 access mode is required";
        errors.push(wrong("spec.accessModes", ErrorKind::Required, "", detail));
    }
    errors.extend(access_modes(claim));
    errors.extend(required(claim, "/spec/resources/requests/storage", "spec.resources[storage]"));
    errors.extend(size(claim, "/spec/resources/requests/storage", "spec.resources.requests[storage]"));
    scene.valid(claim, &errors)
}

fn access_modes(object: &Value) -> Vec<FieldError> {
    object::list(object, "/spec/accessModes")
        .iter()
        .filter_map(Value::as_str)
        .filter(|mode| !ACCESS_MODES.contains(mode))
        .map(|mode| {
            let detail =
                format!("supported values: {}", ACCESS_MODES.map(|mode| format!("{mode:?}")).join(", "));
            wrong("spec.accessModes", ErrorKind::Unsupported, mode, &detail)
        })
        .collect()
}

/// A size that is given is a quantity, and more than nothing.
fn size(object: &Value, pointer: &str, path: &str) -> Option<FieldError> {
    let text = object::text(object, pointer);
    let positive = |quantity: Quantity| !quantity.is_zero() && !quantity.is_negative();
    let detail = match Quantity::of(&ApiQuantity(text.to_owned())) {
        _ if text.is_empty() => return None,
        Ok(quantity) if positive(quantity) => return None,
        Ok(_) => "must be greater than zero",
        Err(_) => "is no quantity, such as 1Gi or 500M",
    };
    Some(wrong(path, ErrorKind::Invalid, text, detail))
}

pub(super) fn create_driver(driver: &mut Value, _: &Scene<'_>) -> Outcome {
    let spec = object::map_mut(driver, "spec");
    object::default(spec, "attachRequired", true);
    for unset in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
        object::default(spec, unset, false);
    }
    object::default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    object::default(spec, "volumeLifecycleModes", json!(["Persistent"]));
    Ok(())
}

pub(super) fn create_class(class: &mut Value, scene: &Scene<'_>) -> Outcome {
    let map = object::as_map(class);
    object::default(map, "reclaimPolicy", "Delete");
    object::default(map, "volumeBindingMode", "Immediate");
    scene.valid(class, &required(class, "/provisioner", "provisioner"))
}
