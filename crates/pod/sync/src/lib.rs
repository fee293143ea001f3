//! Brings the runtime to what a pod asks for.
//!
//! Decides: what to do next for a pod, from its spec and what was observed of it ([`plan`]), and how long a container
//! that crashed waits ([`crash`]).
//!
//! Acts: [`Executor`] has what the pod refers to found ([`ApiObjects`]), prepares cgroup, directories and volumes, carries
//! a plan out over CRI, stops pods and cleans up after them. Each step is awaited and says where it is in the pod's cell;
//! any step may be dropped, and the next round goes on from what is there then.
//!
//! Tasks: one per StartContainer, which outlives by a few seconds who waits for it ([`UnderWay`]).
//!
//! Does not: decide when (`worker`), learn what the runtime did (`pleg`), or derive status (`status`).

mod apiobjects;
mod cleanup;
pub mod crash;
mod dead;
mod executor;
mod files;
mod hooks;
mod objects;
mod onlooker;
pub mod plan;
mod sandbox;
mod start;
mod stop;
mod underway;
mod userns;

mod metrics;

pub use apiobjects::{ApiObjects, WithoutApi};
pub use dead::DeadContainers;
pub use executor::{Executor, Needs, PodCgroup, Settings, SyncError, Synced};
pub use files::FileError;
pub use metrics::Metrics;
pub use underway::UnderWay;
pub use userns::{LoadError, UserNamespaces, UserNsError};
