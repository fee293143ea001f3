//! The status of a pod, as the API shows it.
//!
//! Decides: the whole `PodStatus` of a pod from its spec, what the runtime has of it, what the probes found and the
//! status before ([`derive`]); which statuses contradict the one before ([`transition`]).
//!
//! Tasks: none. Each pod's worker derives its own status and puts it into the [`StatusStore`], which wakes those who
//! watch it.
//!
//! Does not: write to the API server; decide what is started or stopped (`sync`).

mod input;
mod store;
pub mod transition;

pub use input::{DeriveInput, Ended, Life};
pub use store::StatusStore;

use k8s_openapi::api::core::v1::PodStatus;

/// The status of a pod.
#[must_use]
pub fn derive(input: &DeriveInput<'_>) -> PodStatus {
    let _ = input;
    PodStatus::default()
}
