//! ConfigMaps and Secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schema::{ErrorKind, FieldError};
use serde_json::Value;

use super::{Outcome, Scene, immutable, wrong};
use crate::object;

/// All values together, in bytes.
const MAX_SIZE: usize = 1024 * 1024;

pub(super) fn create_map(map: &mut Value, scene: &Scene<'_>) -> Outcome {
    let mut errors = keys(map, &["data", "binaryData"]);
    if let (Some(data), Some(binary)) = (map["data"].as_object(), map["binaryData"].as_object()) {
        for key in data.keys().filter(|key| binary.contains_key(*key)) {
            errors.push(wrong(
                &format!("data[{key}]"),
                ErrorKind::Invalid,
                key,
                "duplicate of key present in binaryData",
            ));
        }
    }
    scene.valid(map, &errors)
}

pub(super) fn update_map(old: &Value, new: &mut Value, scene: &Scene<'_>) -> Outcome {
    scene.valid(new, &frozen(old, new))?;
    create_map(new, scene)
}

pub(super) fn create_secret(secret: &mut Value, scene: &Scene<'_>) -> Outcome {
    let map = object::as_map(secret);
    if let Some(Value::Object(plain)) = map.remove("stringData") {
        let data = object::map_in(map, "data");
        for (key, value) in plain {
            data.insert(key, STANDARD.encode(value.as_str().unwrap_or_default()).into());
        }
    }
    object::default(map, "type", "Opaque");
    let mut errors = keys(secret, &["data"]);
    let needed: &[&str] = match object::text(secret, "/type") {
        "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
        "kubernetes.io/dockercfg" => &[".dockercfg"],
        "kubernetes.io/tls" => &["tls.crt", "tls.key"],
        "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
        _ => &[],
    };
    for key in needed.iter().filter(|key| secret["data"].get(**key).is_none()) {
        errors.push(wrong(&format!("data[{key}]"), ErrorKind::Required, "", ""));
    }
    scene.valid(secret, &errors)
}

pub(super) fn update_secret(old: &Value, new: &mut Value, scene: &Scene<'_>) -> Outcome {
    object::carry_default(old, object::as_map(new), "type");
    create_secret(new, scene)?;
    let mut errors = immutable(old, new, "/type", "type");
    errors.extend(frozen(old, new));
    scene.valid(new, &errors)
}

/// What changed of an object that says it never will.
fn frozen(old: &Value, new: &Value) -> Vec<FieldError> {
    if !object::flag(old, "/immutable") {
        return Vec::new();
    }
    let same = |key: &str| old.get(key) == new.get(key);
    let mut errors = Vec::new();
    for key in ["immutable", "data", "binaryData"] {
        if !same(key) {
            errors.push(wrong(key, ErrorKind::Forbidden, "", "field is immutable when `immutable` is set"));
        }
    }
    errors
}

fn keys(object: &Value, maps: &[&str]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut size = 0;
    for map in maps {
        for (key, value) in object[*map].as_object().into_iter().flatten() {
            size += value.as_str().map_or(0, str::len);
            let good = !key.is_empty()
                && key.len() <= 253
                && key != "."
                && !key.starts_with("..")
                && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
            if !good {
                let detail = "a key has at most 253 letters, digits, '-', '_' and '.', and is neither '.' nor begins with '..'";
                errors.push(wrong(&format!("{map}[{key}]"), ErrorKind::Invalid, key, detail));
            }
        }
    }
    if size > MAX_SIZE {
        let detail = format!("may not be more than {MAX_SIZE} bytes");
        errors.push(wrong(maps[0], ErrorKind::TooLong, "", &detail));
    }
    errors
}
