//! The pod lifecycle event generator: what the runtime did, told to the pods it concerns.
//!
//! Decides: when a pod has to be looked at again ([`changes`]), and whether the runtime's event stream can be
//! believed ([`trust`]).
//!
//! Tasks: [`Pleg::run`] reads the runtime's event stream and relists, writes each pod's `watch` channel, the list of
//! pods and [`Health`], and wakes on an event, on the relist timer and when an expected event is overdue. Looks at
//! single pods run side by side, so that one that hangs delays no other.
//!
//! The relist is the safety net: rare while events flow, every second while they do not. A pod's own worker asks for
//! a look at its pod right after it acted ([`Pleg::refresh`]) and does not wait for either.
//!
//! A runtime without CRI events may tell of ended containers in its own way ([`exits`]): they are looked at at once, and
//! the relist every second stays.
//!
//! Does not: decide what to do about a change.

mod changes;
mod exits;
mod health;
mod looks;
mod metrics;
mod pending;
mod pleg;
mod pods;
mod stopping;
mod stream;
mod trust;

pub use health::{Health, Mode};
pub use metrics::Metrics;
pub use pending::PendingLook;
pub use pleg::{Options, Pleg};
pub use stopping::StoppingGuard;
