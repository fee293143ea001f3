//! What the node, its pods and their containers use, read from the kernel when somebody asks: the Summary API,
//! `/metrics/resource`, and the series of `/metrics/cadvisor`. There is no cAdvisor in it.
//!
//! Decides: which files answer which question ([`Stats`]), what of them is which number ([`summary`], [`resource`],
//! [`cadvisor`], [`claims`]), how fast CPU time is used from two readings, which volumes are looked through again and by whom.
//! All of that is pure, but for the reading itself.
//!
//! Tasks: one for each question to a driver how full its volume is; it ends with the answer. A reading is a thread that can
//! be abandoned, at most one at a time; logs and file systems are measured on threads of their own, so that one that hangs is
//! missing and holds up nothing. The runtime is asked for what the kernel does not know: writable layers, where images are,
//! and containers whose cgroups are out of sight. Nothing runs between requests.
//!
//! Does not: know pods ([`Needs`] tells), serve anything (`server`), decide what is too much (eviction).

pub mod cadvisor;
pub mod claims;
pub mod resource;
pub mod summary;

mod disks;
mod flights;
mod logs;
mod machine;
mod metrics;
mod moment;
mod needs;
mod rates;
mod read;
mod reading;
mod stats;
#[cfg(test)]
mod testing;
mod told;

pub use metrics::Metrics;
pub use needs::{DriverUsage, Needs, NodeView, PodView, Room, ShownTo, SystemContainer, VolumeView};
pub use stats::{Settings, Stats, StatsError};
pub use summary::Summary;
