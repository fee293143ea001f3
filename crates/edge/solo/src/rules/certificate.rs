//! Certificate signing requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schema::ErrorKind;
use serde_json::{Value, json};
use x509_parser::pem::parse_x509_pem;

use super::{Outcome, Scene, required, wrong};
use crate::object;

/// Who asked is what the server knows of them, not what they say.
const REQUESTER: [&str; 4] = ["username", "uid", "groups", "extra"];

pub(super) fn create(request: &mut Value, scene: &Scene<'_>) -> Outcome {
    let spec = object::map_mut(request, "spec");
    for field in REQUESTER {
        spec.remove(field);
    }
    spec.insert("username".to_owned(), scene.user.name.clone().into());
    spec.insert("groups".to_owned(), json!(scene.user.groups));
    if !scene.user.uid.is_empty() {
        spec.insert("uid".to_owned(), scene.user.uid.clone().into());
    }
    object::default(spec, "usages", json!(["digital signature", "key encipherment"]));
    object::as_map(request).insert("status".to_owned(), json!({}));
    let mut errors = required(request, "/spec/request", "spec.request");
    errors.extend(required(request, "/spec/signerName", "spec.signerName"));
    if errors.is_empty() && !is_request(object::text(request, "/spec/request")) {
        let detail = "is no certificate signing request in PEM";
        errors.push(wrong("spec.request", ErrorKind::Invalid, "", detail));
    }
    scene.valid(request, &errors)
}

fn is_request(encoded: &str) -> bool {
    STANDARD
        .decode(encoded)
        .is_ok_and(|pem| parse_x509_pem(&pem).is_ok_and(|(_, pem)| pem.label == "CERTIFICATE REQUEST"))
}

/// The request itself never changes. Approval has its own subresource, and the certificate comes with the status.
pub(super) fn update(old: &Value, new: &mut Value, scene: &Scene<'_>) -> Outcome {
    let map = object::as_map(new);
    object::carry(old, map, "spec");
    let status = object::map_in(map, "status");
    let old_status = old.get("status").unwrap_or(&Value::Null);
    match scene.subresource {
        "approval" => object::carry(old_status, status, "certificate"),
        "status" => object::carry(old_status, status, "conditions"),
        _ => {}
    }
    Ok(())
}
