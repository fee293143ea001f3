//! Bodies: JSON, or the protobuf that some clients send for kinds they know.

use serde_json::Value;

use crate::error::ApiError;
use crate::protobuf;

/// The value of a body; null if it is empty.
pub(super) fn read(media_type: &str, body: &[u8]) -> Result<Value, ApiError> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    match media_type {
        "" | "application/json" => serde_json::from_slice(body).map_err(|error| {
            ApiError::bad_request(format!("the object provided is not valid JSON: {error}"))
        }),
        protobuf::MEDIA_TYPE => {
            protobuf::decode(body).map_err(|error| ApiError::bad_request(error.to_string()))
        }
        _ => Err(ApiError::unsupported_media(&format!("application/json, {}", protobuf::MEDIA_TYPE))),
    }
}
