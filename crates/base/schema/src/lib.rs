//! What the API server does to a Pod before anybody sees it: defaulting and validation of the whole v1 Pod, as
//! Kubernetes 1.36 has it. Static pods never pass the API server, so their kubelet has to do both.
//!
//! Decides: what a pod loses with the feature gates that are off ([`drop_disabled`]), which value an unset field has
//! ([`default_pod`]), whether a defaulted pod is valid on creation ([`validate_pod`]) or after a change
//! ([`validate_changed_pod`]), whether the metadata of any object is ([`validate_metadata`]), and whether a pod needs
//! objects that only the API server has ([`api_references`]).
//!
//! Pure functions over values; no task, no clock, no I/O. Nothing here panics, whatever the pod holds, and what is
//! reported is bounded ([`MAX_ERRORS`]).
//!
//! Does not: decode manifests (`document`), give static pods their identity (`source`), or ask whether this node can
//! run the pod (`admit`).

mod default;
mod features;
mod field;
mod image;
mod names;
mod references;
mod validate;

pub use default::default_pod;
pub use features::{Dropped, Feature, drop_disabled};
pub use field::{ErrorKind, FieldError, MAX_ERRORS};
pub use references::{api_references, claims_and_bundles};
pub use validate::{validate_changed_pod, validate_metadata, validate_pod};
