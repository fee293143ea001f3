//! Kubernetes' protobuf, as far as clients insist on sending it: bodies are read into JSON, and answers are JSON
//! always, which all of those clients accept (Kubernetes: "Kubernetes Protobuf encoding").

mod messages;
mod read;

use serde_json::{Value, json};

/// The media type of these bodies.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// What they begin with.
const MAGIC: &[u8] = b"k8s\0";

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProtobufError {
    #[error("the body does not begin like Kubernetes' protobuf")]
    Magic,
    #[error("the body holds what is no protobuf")]
    Wire(#[from] prost::DecodeError),
    #[error("the body breaks off")]
    Broken,
    #[error("the body has the wrong type of value for the field {0:?}")]
    Type(String),
    #[error("the body is nested too deeply")]
    TooDeep,
    #[error("this server does not know the kind {kind:?} of {version:?} in protobuf")]
    Kind { kind: String, version: String },
}

/// Reads an object in its envelope.
pub(crate) fn decode(body: &[u8]) -> Result<Value, ProtobufError> {
    let body = body.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?;
    let envelope = read::message(body, "Envelope", 0)?;
    let text =
        |pointer: &str| envelope.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (version, kind) = (text("/type/apiVersion"), text("/type/kind"));
    // The two kinds of events share their name.
    let message = if version == "events.k8s.io/v1" { format!("New{kind}") } else { kind.clone() };
    if messages::find(&message).is_none() {
        return Err(ProtobufError::Kind { kind, version });
    }
    let raw = read::raw(body, 2)?;
    let Value::Object(fields) = read::message(raw, &message, 0)? else { return Ok(Value::Null) };
    let mut object = json!({"apiVersion": version, "kind": kind});
    if let Value::Object(map) = &mut object {
        map.extend(fields);
    }
    Ok(object)
}

#[cfg(test)]
mod tests;
