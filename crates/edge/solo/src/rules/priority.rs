//! PriorityClasses (Kubernetes: "Pod Priority and Preemption").

use schema::ErrorKind;
use serde_json::Value;

use super::{Outcome, Scene, immutable, wrong};
use crate::object;

/// Everything above is for the classes of the system.
const HIGHEST: i64 = 1_000_000_000;

pub(super) fn create(class: &mut Value, scene: &Scene<'_>) -> Outcome {
    object::default(object::as_map(class), "preemptionPolicy", "PreemptLowerPriority");
    let mut errors = Vec::new();
    if object::name(class).starts_with("system-") {
        let detail = "priority class names with 'system-' prefix are reserved for system use only";
        errors.push(wrong("metadata.name", ErrorKind::Forbidden, "", detail));
    }
    if object::number(class, "/value").is_some_and(|value| value > HIGHEST) {
        let detail = format!("maximum allowed value of a user defined priority is {HIGHEST}");
        errors.push(wrong("value", ErrorKind::Forbidden, "", &detail));
    }
    let policy = object::text(class, "/preemptionPolicy");
    if !matches!(policy, "PreemptLowerPriority" | "Never") {
        let detail = "supported values: \"Never\", \"PreemptLowerPriority\"";
        errors.push(wrong("preemptionPolicy", ErrorKind::Unsupported, policy, detail));
    }
    scene.valid(class, &errors)
}

pub(super) fn update(old: &Value, new: &mut Value, scene: &Scene<'_>) -> Outcome {
    object::default(object::as_map(new), "preemptionPolicy", "PreemptLowerPriority");
    let mut errors = immutable(old, new, "/value", "value");
    errors.extend(immutable(old, new, "/preemptionPolicy", "preemptionPolicy"));
    scene.valid(new, &errors)
}
