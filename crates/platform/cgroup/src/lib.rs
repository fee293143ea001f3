//! The cgroups of the node, of the QoS classes and of pods, on cgroup v1 and v2, through plain files or systemd.
//!
//! Decides: how a cgroup is spelled for each driver ([`CgroupName`]), what a pod, a QoS class and all pods together may
//! use ([`resources`]), and which files and which systemd properties say so ([`Limits`]). All that is pure.
//!
//! Acts: [`Cgroups`] makes, changes and removes cgroups by name, on threads where blocking is allowed. [`PodCgroups`]
//! is the tree `kubepods{,/burstable,/besteffort}/pod<uid>` on top of it. Both hold no state about pods: every call
//! looks at what is there. With the systemd driver one task passes on the ends of systemd's jobs.
//!
//! Reads: [`UsageReader`] tells what any cgroup uses, with the same numbers for both versions ([`usage`]); it blocks for
//! some µs a file.
//!
//! Does not: make the cgroups of containers (the runtime does, below the parent it is handed), or know which pods there
//! should be: the caller compares [`PodCgroups::list`] with what it knows to find orphans.

pub mod cpu;
pub mod resources;
pub mod usage;
pub mod version;

mod cgroups;
mod driver;
mod error;
mod limits;
mod membership;
mod metrics;
mod name;
mod pods;
mod properties;
mod systemd;
mod tree;

pub use cgroups::Cgroups;
pub use driver::{Driver, UnknownDriver};
pub use error::CgroupError;
pub use limits::{Cap, CpuQuota, Limits, Write, page_size_name};
pub use membership::home;
pub use metrics::Metrics;
pub use name::{CgroupName, NameError};
pub use pods::{PodCgroup, PodCgroups};
pub use resources::PodCgroupConfig;
pub use systemd::SystemdError;
pub use usage::{Usage, UsageReader};
pub use version::{Hierarchies, Version};
