//! Patches: JSON patch (RFC 6902), merge patch (RFC 7386) and Kubernetes' strategic merge patch.

mod keys;
mod strategic;

use serde_json::Value;

use crate::error::ApiError;

/// A body of PATCH.
#[derive(Clone, Debug)]
pub(crate) enum Patch {
    Json(json_patch::Patch),
    Merge(Value),
    Strategic(Value),
}

const ACCEPTED: &str =
    "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json";
/// A JSON patch may have so many operations.
const MAX_OPERATIONS: usize = 10_000;

impl Patch {
    /// Reads a patch of the given media type.
    pub(crate) fn parse(media_type: &str, body: &[u8]) -> Result<Self, ApiError> {
        let unreadable =
            |error: serde_json::Error| ApiError::bad_request(format!("cannot read the patch: {error}"));
        let object = || -> Result<Value, ApiError> {
            let patch: Value = serde_json::from_slice(body).map_err(unreadable)?;
            if patch.is_object() {
                Ok(patch)
            } else {
                Err(ApiError::bad_request("the patch is not an object"))
            }
        };
        match media_type {
            "application/json-patch+json" => {
                let patch: json_patch::Patch = serde_json::from_slice(body).map_err(unreadable)?;
                if patch.0.len() > MAX_OPERATIONS {
                    return Err(ApiError::too_large(MAX_OPERATIONS));
                }
                Ok(Self::Json(patch))
            }
            "application/merge-patch+json" => object().map(Self::Merge),
            "application/strategic-merge-patch+json" => object().map(Self::Strategic),
            _ => Err(ApiError::unsupported_media(ACCEPTED)),
        }
    }

    /// Applies the patch to an object of `kind`.
    pub(crate) fn apply(self, kind: &str, object: &mut Value) -> Result<(), ApiError> {
        match self {
            Self::Json(patch) => json_patch::patch(object, &patch)
                .map_err(|error| ApiError::unprocessable(format!("the patch does not apply: {error}"))),
            Self::Merge(patch) => {
                json_patch::merge(object, &patch);
                Ok(())
            }
            Self::Strategic(patch) => strategic::apply(kind, object, patch)
                .map_err(|error| ApiError::bad_request(error.to_string())),
        }
    }
}
