//! What a sandbox and a container are given: from the pod's spec, facts about the node and mounts that are ready, to
//! the messages of CRI.
//!
//! Decides: labels and annotations, log paths, environment, DNS, hosts file, hostname, security context, resources,
//! mounts and ports. All of it is pure: what has to be read (image user, pod IPs, objects of the API server, files of
//! volumes) comes in as values or as a closure.
//!
//! Tasks: none.
//!
//! Does not: make files or directories (`sync`), prepare volumes (`volume`), talk to the runtime (`cri`), or set the
//! pod's own cgroup (`cgroup`).

pub mod dns;
pub mod env;
pub mod envfile;
pub mod hostname;
pub mod hosts;
pub mod labels;
pub mod logpath;
pub mod mounts;
pub mod ports;
pub mod resources;
pub mod security;
pub mod services;

mod container;
mod error;
mod facts;
mod sandbox;
mod variable;

pub use container::{ContainerInput, container_config};
pub use error::ConfigError;
pub use facts::{IdMappings, NodeFacts, Swap};
pub use mounts::{MountSource, ResolvedDevice, ResolvedMount};
pub use sandbox::{Built, sandbox_config};
pub use variable::Variable;

#[cfg(test)]
mod tests;
