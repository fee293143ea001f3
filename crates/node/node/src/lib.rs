//! What this machine is as a node, and whether its container runtime works.
//!
//! Decides: capacity, allocatable and the limits of all pods together ([`resources`]), the node's name and addresses,
//! whether the machine is fit to start on ([`start`], [`kernel`]); how the Node object is created and corrected
//! ([`object`]), all of its status ([`status`]), what of that is news and how it is told ([`patch`]), and when ([`Pace`]).
//!
//! Tasks:
//! - [`RuntimeWatch`] asks the runtime for its status, on a timer or when told to, and publishes [`RuntimeHealth`] on a
//!   watch channel.
//! - [`Keeper`] registers the node, reports its status and renews its lease. It reads the [`Feeds`] and wakes on them, on
//!   the times of its reports and of the lease, and on the back-off of what failed; it publishes its [`Standing`] on a
//!   watch channel. Nothing waits for it but volumes that are attached, until it has told that they are in use.
//!
//! Does not: speak to the API server ([`NodeApi`] and [`LeaseApi`] are given), decide under which pressure the node is or
//! which volumes are in use,
//! list images, make cgroups (`cgroup`), or ask the runtime for anything but its status (`cri`).

pub mod address;
pub mod events;
pub mod kernel;
pub mod object;
pub mod patch;
pub mod resources;
pub mod start;
pub mod status;

mod api;
mod facts;
mod feeds;
mod heartbeat;
mod inuse;
mod keeper;
mod machine;
mod metrics;
mod name;
mod pace;
mod runtime;
mod standing;
#[cfg(test)]
mod testing;
mod version;

pub use address::{AddressError, NodeIp, node_ips};
pub use api::{ApiFailure, FailureKind, LeaseApi, NodeApi};
pub use facts::{Addresses, Facts, Inputs, Obstacle, Pressure, Strain};
pub use feeds::Feeds;
pub use inuse::InUse;
pub use keeper::{Keeper, Settings};
pub use machine::{Machine, MachineError};
pub use metrics::Metrics;
pub use name::{NoNodeName, node_name};
pub use object::Registration;
pub use pace::{Pace, Reported};
pub use resources::{PodRoom, Reservations, Threshold};
pub use runtime::{RuntimeHealth, RuntimeWatch, StatusCall};
pub use standing::{Standing, Trouble};
pub use version::kubelet_version;
