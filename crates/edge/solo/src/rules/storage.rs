//! Volumes, claims, CSI drivers and storage classes.

use serde_json::{Value, json};

use super::{Outcome, Scene, required};
use crate::object;

pub(super) fn create_volume(volume: &mut Value, scene: &Scene<'_>) -> Outcome {
    let spec = object::map_mut(volume, "spec");
    object::default(spec, "persistentVolumeReclaimPolicy", "Retain");
    object::default(spec, "volumeMode", "Filesystem");
    object::as_map(volume).insert("status".to_owned(), json!({"phase": "Pending"}));
    let mut errors = Vec::new();
    if object::list(volume, "/spec/accessModes").is_empty() {
        errors.push(super::wrong("spec.accessModes", schema::ErrorKind::Required, "", ""));
    }
    errors.extend(required(volume, "/spec/capacity/storage", "spec.capacity"));
    scene.valid(volume, &errors)
}

pub(super) fn create_claim(claim: &mut Value, scene: &Scene<'_>) -> Outcome {
    object::default(object::map_mut(claim, "spec"), "volumeMode", "Filesystem");
    object::as_map(claim).insert("status".to_owned(), json!({"phase": "Pending"}));
    let mut errors = Vec::new();
    if object::list(claim, "/spec/accessModes").is_empty() {
        errors.push(super::wrong(
            "spec.accessModes",
            schema::ErrorKind::Required,
            "",
            "at least 1 access mode is required",
        ));
    }
    errors.extend(required(claim, "/spec/resources/requests/storage", "spec.resources[storage]"));
    scene.valid(claim, &errors)
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
