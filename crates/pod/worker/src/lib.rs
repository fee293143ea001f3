//! One actor per pod: who is started, who is stopped, in what order, and who waits.
//!
//! Decides: which step of its life a pod is in ([`Phase`]), what a newer order does to a step under way
//! ([`order::Order`]), when to try again, and which pods wait: for another of the same name to be gone, for others that
//! make way, for a look at what admission goes by.
//!
//! Tasks:
//! * [`Workers::run`] owns the set of pods. It reads pod changes and the runtime's list of pods, writes each pod's
//!   order and the [`Table`] snapshot, and wakes on a change, on a worker's end and on a change of the runtime's list.
//! * One actor per pod. It reads its order (a `watch` channel: only the latest counts) and the pod's observed
//!   state, and writes its [`PodCell`]. It wakes on either, or at the time its last round asked for.
//!
//! Does not: know containers, volumes or cgroups. What a round does is behind [`Lifecycle`].

mod actor;
mod lifecycle;
mod metrics;
pub mod order;
mod workers;

pub use lifecycle::{Job, Lifecycle, Round, RoundError, Target, Verdict};
pub use metrics::Metrics;
pub use task::cell::{Phase, PodCell};
pub use workers::{Entry, Table, Workers};
