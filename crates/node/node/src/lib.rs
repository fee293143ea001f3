//! What this machine is as a node, and whether its container runtime works.
//!
//! Decides: capacity, allocatable and the limits of all pods together ([`resources`]), the node's name and addresses,
//! and whether the machine is fit to start on ([`start`], [`kernel`]).
//!
//! Tasks: [`RuntimeWatch`] asks the runtime for its status, on a timer or when told to, and publishes [`RuntimeHealth`] on
//! a watch channel.
//!
//! Does not: register the node or write its status (there is no API server here yet), make cgroups (`cgroup`), or ask
//! the runtime for anything else (`cri`).

pub mod address;
pub mod kernel;
pub mod object;
pub mod patch;
pub mod resources;
pub mod start;
pub mod status;

mod facts;
mod machine;
mod metrics;
mod name;
mod runtime;
#[cfg(test)]
mod testing;
mod version;

pub use address::{AddressError, NodeIp, node_ips};
pub use facts::{Addresses, Facts, Inputs, Obstacle, Pressure, Strain};
pub use machine::{Machine, MachineError};
pub use metrics::Metrics;
pub use name::{NoNodeName, node_name};
pub use resources::{PodRoom, Reservations, Threshold};
pub use runtime::{RuntimeHealth, RuntimeWatch, StatusCall};
pub use version::kubelet_version;
