//! Objects are read through the types of their kind: wrong types are refused and unknown fields are dropped, as the
//! API server does it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Fields that the kind does not have, as in `spec.containers[0].imagee`.
pub(crate) type Unknown = Vec<String>;

/// Reads an object through its kind's type.
pub(crate) type Decode = fn(Value) -> Result<(Value, Unknown), serde_json::Error>;

/// At most so many unknown fields are told.
const MAX_UNKNOWN: usize = 20;

pub(super) fn typed<T: DeserializeOwned + Serialize>(
    object: Value,
) -> Result<(Value, Unknown), serde_json::Error> {
    let mut unknown = Vec::new();
    let typed: T = serde_ignored::deserialize(object, |path| {
        if unknown.len() < MAX_UNKNOWN {
            unknown.push(readable(&path.to_string()));
        }
    })?;
    Ok((serde_json::to_value(typed)?, unknown))
}

/// `spec.containers.0.?.x`, as serde_ignored writes it, as `spec.containers[0].x`.
fn readable(path: &str) -> String {
    let mut readable = String::new();
    for part in path.split('.').filter(|part| *part != "?") {
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            readable += &format!("[{part}]");
        } else {
            if !readable.is_empty() {
                readable.push('.');
            }
            readable += part;
        }
    }
    readable
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::Pod;

    use super::*;

    #[test]
    fn unknown_fields_are_named_and_dropped() {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a", "imagee": "b"}]}});
        let (pod, unknown) = typed::<Pod>(pod).unwrap();
        assert_eq!(unknown, ["spec.containers[0].imagee"]);
        assert_eq!(pod["spec"]["containers"][0], json!({"name": "a"}));
    }

    #[test]
    fn wrong_types_are_refused() {
        typed::<Pod>(json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": "a"}})).unwrap_err();
        typed::<Pod>(json!({"apiVersion": "v1", "kind": "Node"})).unwrap_err();
    }
}
