//! The status of a pod, as the API shows it.
//!
//! Decides: the whole `PodStatus` of a pod from its spec, what the runtime has of it, what the probes found and the
//! status before ([`derive()`]); whether the pod has come to its end ([`is_over`]); which statuses contradict the one
//! before ([`transition`]).
//!
//! Tasks: none. Each pod's worker derives its own status and puts it into the [`StatusStore`], which wakes those who
//! watch it.
//!
//! Does not: write to the API server; decide what is started or stopped (`sync`); read termination messages (`cri`).

mod condition;
mod container;
mod derive;
mod input;
mod normalise;
mod phase;
mod resources;
mod store;
#[cfg(test)]
mod tests;
pub mod transition;

pub use derive::{derive, is_over};
pub use input::{DeriveInput, Life};
pub use normalise::normalise;
pub use store::StatusStore;
