//! Which volume a claim may have.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use types::Quantity;
use types::k8s::apimachinery::pkg::apis::meta::v1::LabelSelector;
use types::objects::Labels;

use crate::object::{self, text};

/// The smallest volume that gives the claim what it asks for; one that was made for it comes first. `by_name` takes only one
/// that it or the claim names the other by.
pub(super) fn best<'a>(
    volumes: impl Iterator<Item = &'a Arc<Value>>,
    claim: &Value,
    by_name: bool,
) -> Option<&'a Arc<Value>> {
    let asked = size(claim, "/spec/resources/requests/storage");
    let named = !text(claim, "/spec/volumeName").is_empty();
    volumes
        .filter(|volume| is_open(volume, claim) && gives(volume, claim))
        .filter(|volume| size(volume, "/spec/capacity/storage") >= asked)
        .filter(|volume| !by_name || named || is_reserved(volume))
        .min_by_key(|volume| (!is_reserved(volume), size(volume, "/spec/capacity/storage")))
}

/// Whether the volume is this claim's already.
pub(super) fn is_bound(volume: &Value, claim: &Value) -> bool {
    let uid = text(volume, "/spec/claimRef/uid");
    !uid.is_empty() && uid == object::uid(claim)
}

/// Whether the volume is nobody else's, and the claim names no other.
pub(super) fn is_open(volume: &Value, claim: &Value) -> bool {
    let owner = |field: &str| text(volume, &format!("/spec/claimRef/{field}"));
    let for_it = owner("namespace") == object::namespace(claim)
        && owner("name") == object::name(claim)
        && (owner("uid").is_empty() || owner("uid") == object::uid(claim));
    let wanted = text(claim, "/spec/volumeName");
    (!is_reserved(volume) || for_it)
        && !object::is_deleting(volume)
        && (wanted.is_empty() || wanted == object::name(volume))
}

fn is_reserved(volume: &Value) -> bool {
    volume["spec"].get("claimRef").is_some()
}

/// Whether the volume is of the kind that the claim asks for. A selector that cannot be read selects nothing.
fn gives(volume: &Value, claim: &Value) -> bool {
    let modes = object::list(volume, "/spec/accessModes");
    let selector = claim.pointer("/spec/selector").cloned().unwrap_or(Value::Null);
    let selected = serde_json::from_value::<Option<LabelSelector>>(selector).is_ok_and(|selector| {
        let labels = volume["metadata"].get("labels").cloned().unwrap_or_default();
        let labels: BTreeMap<String, String> = serde_json::from_value(labels).unwrap_or_default();
        selector.is_none_or(|selector| Labels::of(&selector).fit(&labels))
    });
    text(volume, "/spec/storageClassName") == text(claim, "/spec/storageClassName")
        && text(volume, "/spec/volumeMode") == text(claim, "/spec/volumeMode")
        && object::list(claim, "/spec/accessModes").iter().all(|mode| modes.contains(mode))
        && selected
}

fn size(object: &Value, pointer: &str) -> i64 {
    text(object, pointer).parse::<Quantity>().map(Quantity::value).unwrap_or(0)
}
