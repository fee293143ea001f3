//! The status of a pod, as the API shows it.
//!
//! Decides: the whole `PodStatus` of a pod from its spec, what the runtime has of it, what the probes found and the
//! status before ([`derive()`]); whether the pod has come to its end ([`is_over`]); which statuses contradict the one
//! before ([`transition`]); what of a status is news to the API server ([`patch()`]), and when a pod's object may go
//! ([`decide`]).
//!
//! Each pod's worker derives its own status and puts it into the [`StatusStore`], which wakes those who watch it.
//!
//! One task, [`StatusWriter::run`]: reads the store and what the API server has of the pods, writes what differs, each
//! pod by itself; wakes on a change of either, on the end of a write, and when a pod is to be tried again.
//!
//! Does not: decide what is started or stopped (`sync`); read termination messages (`cri`); create or delete mirror pods
//! (`mirror`); talk HTTP (`kubeapi`).

mod condition;
mod container;
mod derive;
mod input;
mod metrics;
mod normalise;
mod patch;
mod phase;
mod resources;
mod store;
#[cfg(test)]
mod tests;
pub mod transition;
mod write;
mod writer;

pub use derive::{derive, is_over};
pub use input::{DeriveInput, Life};
pub use metrics::Metrics;
pub use normalise::normalise;
pub use patch::patch;
pub use store::{Latest, StatusStore};
pub use write::{Write, decide, object_of};
pub use writer::{StatusApi, StatusWriter};
