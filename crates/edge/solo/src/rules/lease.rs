//! Leases.

use schema::ErrorKind;
use serde_json::Value;

use super::{Outcome, Scene, wrong};
use crate::object;

pub(super) fn create(lease: &mut Value, scene: &Scene<'_>) -> Outcome {
    let mut errors = Vec::new();
    for (field, least, detail) in [
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, "must be greater than or equal to 0"),
    ] {
        if object::number(lease, &format!("/spec/{field}")).is_some_and(|number| number < least) {
            errors.push(wrong(&format!("spec.{field}"), ErrorKind::Invalid, "", detail));
        }
    }
    scene.valid(lease, &errors)
}

pub(super) fn update(_: &Value, new: &mut Value, scene: &Scene<'_>) -> Outcome {
    create(new, scene)
}
