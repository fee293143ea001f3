//! Events.

use serde_json::Value;

use super::{Outcome, Scene};
use crate::object;

pub(super) fn create(event: &mut Value, scene: &Scene<'_>) -> Outcome {
    let about = object::text(event, "/involvedObject/namespace");
    let own = object::namespace(event);
    if about == own || about.is_empty() {
        return Ok(());
    }
    Err(scene.invalid(
        event,
        &[super::wrong(
            "involvedObject.namespace",
            schema::ErrorKind::Invalid,
            about,
            "does not match event.namespace",
        )],
    ))
}
