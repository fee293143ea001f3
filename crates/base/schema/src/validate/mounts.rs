//! `volumeMounts` and `volumeDevices` of containers.

use std::collections::{BTreeMap, BTreeSet};

use types::corev1::{Container, Volume, VolumeMount};

use crate::field::{Errors, Path, list};
use crate::names;

/// The pod's volumes by name.
pub(super) type Volumes<'a> = BTreeMap<&'a str, &'a Volume>;

pub(super) fn validate(errors: &mut Errors, path: &Path, container: &Container, volumes: &Volumes<'_>) {
    let privileged =
        container.security_context.as_ref().and_then(|context| context.privileged).unwrap_or(false);
    let mut paths = BTreeSet::new();
    for (index, mount) in list(&container.volume_mounts).iter().enumerate() {
        let path = path.key("volumeMounts").index(index);
        if mount.name.is_empty() {
            errors.required(&path.key("name"), "");
        } else if !volumes.contains_key(mount.name.as_str()) {
            errors.not_found(&path.key("name"), &mount.name);
        }
        if mount.mount_path.is_empty() {
            errors.required(&path.key("mountPath"), "");
        } else if !paths.insert(mount.mount_path.as_str()) {
            errors.invalid(&path.key("mountPath"), &mount.mount_path, "must be unique");
        }
        sub_path(errors, &path, mount);
        propagation(errors, &path, mount, privileged);
    }

    let mut seen = BTreeSet::new();
    for (index, device) in list(&container.volume_devices).iter().enumerate() {
        let path = path.key("volumeDevices").index(index);
        match volumes.get(device.name.as_str()) {
            _ if device.name.is_empty() => errors.required(&path.key("name"), ""),
            None => errors.not_found(&path.key("name"), &device.name),
            Some(volume) if volume.persistent_volume_claim.is_none() && volume.ephemeral.is_none() => {
                errors.invalid(
                    &path.key("name"),
                    &device.name,
                    "only volumes of kind persistentVolumeClaim and ephemeral can be block devices",
                );
            }
            Some(_) if !seen.insert(device.name.as_str()) => {
                errors.invalid(&path.key("name"), &device.name, "must be unique");
            }
            Some(_) => {}
        }
        if list(&container.volume_mounts).iter().any(|mount| mount.name == device.name) {
            errors.invalid(&path.key("name"), &device.name, "the volume is in volumeMounts already");
        }
        errors.name(&path.key("devicePath"), &device.device_path, names::no_backsteps);
        if !device.device_path.is_empty() && !paths.insert(device.device_path.as_str()) {
            errors.invalid(&path.key("devicePath"), &device.device_path, "must be unique");
        }
    }
}

fn sub_path(errors: &mut Errors, path: &Path, mount: &VolumeMount) {
    let plain = mount.sub_path.as_deref().unwrap_or_default();
    let expression = mount.sub_path_expr.as_deref().unwrap_or_default();
    errors.rule(&path.key("subPath"), plain, names::descending_path);
    errors.rule(&path.key("subPathExpr"), expression, names::descending_path);
    if !plain.is_empty() && !expression.is_empty() {
        errors.invalid(&path.key("subPathExpr"), expression, "may not be set together with subPath");
    }
}

fn propagation(errors: &mut Errors, path: &Path, mount: &VolumeMount, privileged: bool) {
    let propagation = mount.mount_propagation.as_deref();
    let at = path.key("mountPropagation");
    errors.optional_one_of(&at, propagation, &["Bidirectional", "HostToContainer", "None"]);
    if propagation == Some("Bidirectional") && !privileged {
        errors.forbidden(&at, "Bidirectional mount propagation is only for privileged containers");
    }
    let recursive = mount.recursive_read_only.as_deref();
    let at = path.key("recursiveReadOnly");
    errors.optional_one_of(&at, recursive, &["Disabled", "Enabled", "IfPossible"]);
    if matches!(recursive, Some("Enabled" | "IfPossible")) {
        if mount.read_only != Some(true) {
            errors.forbidden(&at, "may only be set when readOnly is true");
        }
        if !matches!(propagation, None | Some("" | "None")) {
            errors.forbidden(&at, "may only be set when mountPropagation is None or not set");
        }
    }
}
