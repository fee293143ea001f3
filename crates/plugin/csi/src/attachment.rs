//! What a VolumeAttachment says of a volume (Kubernetes: "VolumeAttachment"; the CSI specification,
//! "ControllerPublishVolume"). Pure. The texts are those that other kubelets put into events.

use std::collections::BTreeMap;

use types::k8s::api::storage::v1::VolumeAttachment;

/// The code of gRPC's `RESOURCE_EXHAUSTED`.
const RESOURCE_EXHAUSTED: i32 = 8;

/// Why a volume cannot be used although it is said to be attached.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AttachProblem {
    /// It is being detached.
    #[error("volume attachment is being deleted")]
    BeingDeleted,
    /// Whoever attaches could not.
    #[error("{0}")]
    Failed(String),
    /// It is not attached (yet).
    #[error("volume {volume} is not attached for volume attachment {attachment}")]
    NotAttached {
        /// The driver's name of the volume.
        volume: String,
        /// The VolumeAttachment.
        attachment: String,
    },
}

/// What the driver is told of the attachment when it stages and publishes the volume `handle`.
///
/// # Errors
/// If the volume is not attached.
pub fn publish_context(
    attachment: &VolumeAttachment,
    handle: &str,
) -> Result<BTreeMap<String, String>, AttachProblem> {
    if attachment.metadata.deletion_timestamp.is_some() {
        return Err(AttachProblem::BeingDeleted);
    }
    match &attachment.status {
        Some(status) if status.attached => Ok(status.attachment_metadata.clone().unwrap_or_default()),
        _ => Err(refusal(attachment).map_or_else(
            || AttachProblem::NotAttached {
                volume: handle.to_owned(),
                attachment: attachment.metadata.name.clone().unwrap_or_default(),
            },
            AttachProblem::Failed,
        )),
    }
}

/// Why the volume could not be attached, in the words of whoever tried; `None` if it was not refused.
#[must_use]
pub fn refusal(attachment: &VolumeAttachment) -> Option<String> {
    let status = attachment.status.as_ref().filter(|status| !status.attached)?;
    Some(status.attach_error.as_ref()?.message.clone().unwrap_or_default())
}

/// Whether it could not be attached because the node has as many volumes as it can (KEP-4876).
#[must_use]
pub fn is_exhausted(attachment: &VolumeAttachment) -> bool {
    let status = attachment.status.as_ref().filter(|status| !status.attached);
    let error = status.and_then(|status| status.attach_error.as_ref());
    error.is_some_and(|error| error.error_code == Some(RESOURCE_EXHAUSTED))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_attachment_says() {
        let message = "rpc error: code = ResourceExhausted desc = no slot";
        let failed = json!({"attached": false, "attachError": {"message": message, "errorCode": 8}});
        let not_yet = "volume v is not attached for volume attachment csi-1";
        type Row<'a> = (serde_json::Value, Option<&'a str>, Result<&'a str, &'a str>, bool);
        let table: [Row<'_>; 6] = [
            (json!({"attached": true, "attachmentMetadata": {"lun": "3"}}), None, Ok("3"), false),
            (json!({"attached": true}), None, Ok(""), false),
            (
                json!({"attached": true}),
                Some("2026-01-01T00:00:00Z"),
                Err("volume attachment is being deleted"),
                false,
            ),
            (failed, None, Err(message), true),
            (json!({"attached": false}), None, Err(not_yet), false),
            (json!(null), None, Err(not_yet), false),
        ];
        for (status, deleted, expected, exhausted) in table {
            let attachment = json!({
                "metadata": {"name": "csi-1", "deletionTimestamp": deleted}, "status": status,
                "spec": {"attacher": "d", "nodeName": "n", "source": {"persistentVolumeName": "pv"}},
            });
            let attachment: VolumeAttachment = serde_json::from_value(attachment).unwrap();
            let said =
                publish_context(&attachment, "v").map(|all| all.get("lun").cloned().unwrap_or_default());
            assert_eq!(
                said.map_err(|error| error.to_string()),
                expected.map(str::to_owned).map_err(str::to_owned)
            );
            assert_eq!(is_exhausted(&attachment), exhausted);
        }
    }
}
