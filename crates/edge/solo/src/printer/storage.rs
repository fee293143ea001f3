//! Volumes, claims and CSI.

use serde_json::Value;

use super::{AGE, Printer, age, count, integer, joined, or, text, wide};
use crate::object;

/// Access modes as `kubectl` abbreviates them.
fn modes(object: &Value, pointer: &str) -> String {
    let short = |mode: &Value| match mode.as_str() {
        Some("ReadWriteOnce") => "RWO",
        Some("ReadOnlyMany") => "ROX",
        Some("ReadWriteMany") => "RWX",
        Some("ReadWriteOncePod") => "RWOP",
        _ => "?",
    };
    object::list(object, pointer).iter().map(short).collect::<Vec<_>>().join(",")
}

fn phase(object: &Value) -> Value {
    if object::is_deleting(object) { "Terminating" } else { object::text(object, "/status/phase") }.into()
}

pub(crate) const VOLUMES: Printer = Printer {
    columns: &[
        text("Capacity"),
        text("Access Modes"),
        text("Reclaim Policy"),
        text("Status"),
        text("Claim"),
        text("StorageClass"),
        text("Reason"),
        AGE,
        wide("VolumeMode"),
    ],
    cells: |volume, now| {
        let claim = object::text(volume, "/spec/claimRef/name");
        let claim = if claim.is_empty() {
            String::new()
        } else {
            format!("{}/{claim}", object::text(volume, "/spec/claimRef/namespace"))
        };
        vec![
            object::text(volume, "/spec/capacity/storage").into(),
            modes(volume, "/spec/accessModes").into(),
            object::text(volume, "/spec/persistentVolumeReclaimPolicy").into(),
            phase(volume),
            claim.into(),
            object::text(volume, "/spec/storageClassName").into(),
            object::text(volume, "/status/reason").into(),
            age(volume, now),
            object::text(volume, "/spec/volumeMode").into(),
        ]
    },
};

pub(crate) const CLAIMS: Printer = Printer {
    columns: &[
        text("Status"),
        text("Volume"),
        text("Capacity"),
        text("Access Modes"),
        text("StorageClass"),
        AGE,
        wide("VolumeMode"),
    ],
    cells: |claim, now| {
        vec![
            phase(claim),
            object::text(claim, "/spec/volumeName").into(),
            object::text(claim, "/status/capacity/storage").into(),
            modes(claim, "/status/accessModes").into(),
            object::text(claim, "/spec/storageClassName").into(),
            age(claim, now),
            object::text(claim, "/spec/volumeMode").into(),
        ]
    },
};

pub(crate) const CSI_NODES: Printer = Printer {
    columns: &[integer("Drivers"), AGE],
    cells: |node, now| vec![count(node, "/spec/drivers").into(), age(node, now)],
};

pub(crate) const CSI_DRIVERS: Printer = Printer {
    columns: &[
        text("AttachRequired"),
        text("PodInfoOnMount"),
        text("StorageCapacity"),
        text("TokenRequests"),
        text("RequiresRepublish"),
        text("Modes"),
        AGE,
    ],
    cells: |driver, now| {
        let flag = |field: &str| Value::from(object::flag(driver, &format!("/spec/{field}")).to_string());
        let tokens: Vec<&str> = object::list(driver, "/spec/tokenRequests")
            .iter()
            .map(|request| or(object::text(request, "/audience"), "<unset>"))
            .collect();
        vec![
            flag("attachRequired"),
            flag("podInfoOnMount"),
            flag("storageCapacity"),
            or(&tokens.join(","), "<unset>").into(),
            flag("requiresRepublish"),
            joined(driver, "/spec/volumeLifecycleModes").into(),
            age(driver, now),
        ]
    },
};

pub(crate) const STORAGE_CLASSES: Printer = Printer {
    columns: &[
        text("Provisioner"),
        text("ReclaimPolicy"),
        text("VolumeBindingMode"),
        text("AllowVolumeExpansion"),
        AGE,
    ],
    cells: |class, now| {
        vec![
            object::text(class, "/provisioner").into(),
            object::text(class, "/reclaimPolicy").into(),
            object::text(class, "/volumeBindingMode").into(),
            object::flag(class, "/allowVolumeExpansion").to_string().into(),
            age(class, now),
        ]
    },
};

pub(crate) const ATTACHMENTS: Printer = Printer {
    columns: &[text("Attacher"), text("PV"), text("Node"), text("Attached"), AGE],
    cells: |attachment, now| {
        vec![
            object::text(attachment, "/spec/attacher").into(),
            object::text(attachment, "/spec/source/persistentVolumeName").into(),
            object::text(attachment, "/spec/nodeName").into(),
            object::flag(attachment, "/status/attached").to_string().into(),
            age(attachment, now),
        ]
    },
};
