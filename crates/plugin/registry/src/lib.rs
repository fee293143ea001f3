//! The plugins that have registered with the node: sockets that appear in the directory of plugins, are asked who they
//! are, handed to whoever handles plugins of their type, and told what came of it (Kubernetes: "Device Plugins, Device
//! plugin integration with the Topology Manager"; "CSI, Deploying a CSI driver").
//!
//! Decides: which sockets are plugins ([`Registry`] says where they may be), when a socket is another one than before
//! although it has the same path, when one that could not be registered is tried again.
//!
//! Tasks: one that follows the directory and those below it (wakes on inotify and on a slow timer, since network file
//! systems tell nothing), and one per socket, which registers, deregisters and waits. A plugin that hangs holds up
//! nobody but itself, and has a deadline for every answer.
//!
//! Does not: know what plugins are for. That is the [`Handler`] of their type.

mod dirs;
mod handler;
mod handshake;
mod metrics;
mod registry;
mod scan;
mod socket;

pub use handler::{Handler, Handlers, Refused};
pub use metrics::Metrics;
pub use pluginapi::registration::Plugin;
pub use registry::Registry;
