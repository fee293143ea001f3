//! Volumes, claims, CSI drivers and storage classes.

use schema::{ErrorKind, FieldError};
use serde_json::{Value, json};
use types::Quantity;
use types::k8s::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use super::{Outcome, Scene, immutable, required, wrong};
use crate::object;
use crate::store::Snapshot;

/// The annotations of the class of claims that name none.
const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// What of a PersistentVolume's spec is neither where it is nor what it is, and may change.
const NO_SOURCE: [&str; 8] = [
    "capacity",
    "accessModes",
    "claimRef",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "mountOptions",
    "nodeAffinity",
    "volumeAttributesClassName",
];
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
    let says_where = source(volume);
    if says_where.as_object().is_none_or(|source| source.keys().all(|key| key == "volumeMode")) {
        errors.push(wrong("spec", ErrorKind::Required, "", "must specify a volume type"));
    }
    scene.valid(volume, &errors)
}

/// Where the volume is never changes: it is mounted and attached by that.
pub(super) fn update_volume(old: &Value, new: &mut Value, scene: &Scene<'_>) -> Outcome {
    object::carry_default(&old["spec"], object::map_mut(new, "spec"), "volumeMode");
    if source(old) == source(new) {
        return scene.valid(new, &access_modes(new));
    }
    let detail = "spec.persistentvolumesource is immutable after creation";
    Err(scene.invalid(new, &[wrong("spec.persistentvolumesource", ErrorKind::Forbidden, "", detail)]))
}

fn source(volume: &Value) -> Value {
    without(&volume["spec"], &NO_SOURCE)
}

fn without(spec: &Value, fields: &[&str]) -> Value {
    let mut spec = spec.clone();
    fields.iter().for_each(|field| drop(object::as_map(&mut spec).remove(*field)));
    spec
}

pub(super) fn create_claim(claim: &mut Value, scene: &Scene<'_>) -> Outcome {
    let spec = object::map_mut(claim, "spec");
    object::default(spec, "volumeMode", "Filesystem");
    // An empty name is none, and no name is the default.
    if spec.get("storageClassName").is_none_or(Value::is_null)
        && let Some(class) = default_class(scene.objects)
    {
        spec.insert("storageClassName".to_owned(), class.into());
    }
    object::as_map(claim).insert("status".to_owned(), json!({"phase": "Pending"}));
    scene.valid(claim, &claim_errors(claim))
}

/// What is wrong with a claim, or with the template of one.
pub(super) fn claim_errors(claim: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if object::list(claim, "/spec/accessModes").is_empty() {
        let detail = "at least 1 access mode is required";
        errors.push(wrong("spec.accessModes", ErrorKind::Required, "", detail));
    }
    errors.extend(access_modes(claim));
    errors.extend(required(claim, "/spec/resources/requests/storage", "spec.resources[storage]"));
    errors.extend(size(claim, "/spec/resources/requests/storage", "spec.resources.requests[storage]"));
    errors
}

/// The class of claims that name none: the newest one that says so (Kubernetes: "Storage Classes", default StorageClass).
fn default_class(objects: &Snapshot) -> Option<String> {
    let is_default =
        |class: &Value| DEFAULT_CLASS.iter().any(|key| class["metadata"]["annotations"][*key] == "true");
    objects
        .list("storageclasses.storage.k8s.io", None)
        .filter(|(_, class)| is_default(class))
        .max_by_key(|(key, class)| {
            (object::text(class, "/metadata/creationTimestamp"), std::cmp::Reverse(&key.name))
        })
        .map(|(key, _)| key.name.clone())
}

/// A claim keeps its volume and what it asked for, but may ask for more room.
pub(super) fn update_claim(old: &Value, new: &mut Value, scene: &Scene<'_>) -> Outcome {
    object::default(object::map_mut(new, "spec"), "volumeMode", "Filesystem");
    let mut free = vec!["resources", "volumeAttributesClassName"];
    let unset = |field: &&str| old["spec"].get(*field).is_none_or(|value| value.is_null() || value == "");
    free.extend(["volumeName", "storageClassName"].into_iter().filter(unset));
    if without(&old["spec"], &free) != without(&new["spec"], &free) {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        return Err(scene.invalid(new, &[wrong("spec", ErrorKind::Forbidden, "", detail)]));
    }
    scene.valid(new, &claim_errors(new))
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

pub(super) fn create_attachment(attachment: &mut Value, scene: &Scene<'_>) -> Outcome {
    let mut errors = required(attachment, "/spec/attacher", "spec.attacher");
    errors.extend(required(attachment, "/spec/nodeName", "spec.nodeName"));
    let source = attachment.pointer("/spec/source").unwrap_or(&Value::Null);
    if object::text(source, "/persistentVolumeName").is_empty() && !source["inlineVolumeSpec"].is_object() {
        let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
        errors.push(wrong("spec.source", ErrorKind::Required, "", detail));
    }
    scene.valid(attachment, &errors)
}

pub(super) fn update_attachment(old: &Value, new: &mut Value, scene: &Scene<'_>) -> Outcome {
    scene.valid(new, &immutable(old, new, "/spec", "spec"))
}
