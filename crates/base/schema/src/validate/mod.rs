//! The rules of a Pod on its creation, one module per part.

mod affinity;
mod container;
mod env;
mod lifecycle;
mod metadata;
mod mounts;
mod network;
mod ports;
mod resources;
mod scheduling;
mod security;
mod spec;
mod volumes;

use types::{Pod, pod};

use crate::FieldError;
use crate::field::{Errors, Path};

pub use metadata::validate_metadata;
pub(crate) use volumes::volume_sources;

/// What is wrong with `pod`, which has been defaulted, as the API server would find it on creation. Empty if nothing
/// is; at most [`crate::MAX_ERRORS`].
#[must_use]
pub fn validate_pod(pod: &Pod) -> Vec<FieldError> {
    let mut errors = Errors::default();
    if !pod::ephemeral_containers(pod).is_empty() {
        let path = Path::root("spec").key("ephemeralContainers");
        errors.forbidden(&path, "may not be set on creation; they are added to a pod that runs");
    }
    validate(&mut errors, pod);
    errors.finish()
}

/// The same for a pod that there is already and that changes. What may change of it is for the caller to know.
#[must_use]
pub fn validate_changed_pod(pod: &Pod) -> Vec<FieldError> {
    let mut errors = Errors::default();
    validate(&mut errors, pod);
    errors.finish()
}

fn validate(errors: &mut Errors, pod: &Pod) {
    metadata::validate(errors, pod);
    match &pod.spec {
        Some(spec) => spec::validate(errors, spec),
        None => errors.required(&Path::root("spec"), ""),
    }
}

#[cfg(test)]
mod tests;
