//! What a claim waits for, in the words of other control planes.

use serde_json::Value;

use super::super::told::Told;
use super::{CLASSES, NOBODY, node_of};
use crate::object::text;
use crate::store::Snapshot;

/// What is to be told of a claim that nothing is to happen to.
pub(super) fn why(objects: &Snapshot, claim: &Value) -> Option<Told> {
    let normal = |reason, message: String| Some(Told { is_warning: false, reason, message });
    let warning = |reason, message: String| Some(Told { is_warning: true, reason, message });
    match text(claim, "/status/phase") {
        "Bound" => return None,
        "Lost" => {
            let message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
            return warning("ClaimLost", message.to_owned());
        }
        _ => {}
    }
    let named = text(claim, "/spec/volumeName");
    if !named.is_empty() {
        let message = format!(
            "Cannot bind to requested volume {named:?}: it is not there, is another claim's, or is not what this one asks for"
        );
        return warning("FailedBinding", message);
    }
    let class_name = text(claim, "/spec/storageClassName");
    let Some(class) = objects.get(CLASSES, "", class_name) else {
        return if class_name.is_empty() {
            let message = "no persistent volumes available for this claim and no storage class is set";
            normal("FailedBinding", message.to_owned())
        } else {
            warning("ProvisioningFailed", format!("storageclass.storage.k8s.io {class_name:?} not found"))
        };
    };
    let provisioner = text(class, "/provisioner");
    if text(class, "/volumeBindingMode") == "WaitForFirstConsumer" && node_of(objects, claim).is_none() {
        let message = "waiting for first consumer to be created before binding";
        return normal("WaitForFirstConsumer", message.to_owned());
    }
    if provisioner == NOBODY {
        let message = format!(
            "no persistent volumes available for this claim, and nobody makes any of class {class_name:?}"
        );
        return normal("FailedBinding", message);
    }
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered."
    );
    normal("ExternalProvisioning", message)
}
