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

use types::Pod;

use crate::FieldError;
use crate::field::{Errors, Path};

pub(crate) use volumes::volume_sources;

/// What is wrong with `pod`, which has been defaulted, as the API server would find it on creation. Empty if nothing
/// is; at most [`crate::MAX_ERRORS`].
#[must_use]
pub fn validate_pod(pod: &Pod) -> Vec<FieldError> {
    let mut errors = Errors::default();
    metadata::validate(&mut errors, pod);
    match &pod.spec {
        Some(spec) => spec::validate(&mut errors, spec),
        None => errors.required(&Path::root("spec"), ""),
    }
    errors.finish()
}

#[cfg(test)]
mod tests;
