//! The protocols that plugins of a node speak, each over gRPC on a unix socket of the plugin: registration (v1), and the
//! node's part of the Container Storage Interface (v1).
//!
//! Decides: what goes into a call, when a call has taken too long, what a failure says about what was done
//! ([`PluginErrorKind`]): whether it is certain that nothing is under way any more.
//!
//! Tasks: none of its own. Each call has a connection of its own, as other kubelets do it: a plugin that was replaced
//! behind its socket is never asked over a connection to the old one, and an idle plugin costs nothing.
//!
//! Does not: find plugins (`registry`), keep a list of drivers or decide what to stage and publish (`csi`), retry.

mod call;
mod channel;
pub mod csi;
mod error;
pub mod registration;

pub use error::{PluginError, PluginErrorKind};

/// The messages, clients and servers of both protocols, generated from `proto/`.
pub mod proto {
    /// Plugin registration, `proto/registration.proto`.
    #[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::restriction)]
    pub mod registration {
        tonic::include_proto!("pluginregistration");
    }

    /// CSI, `proto/csi.proto`.
    #[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::restriction)]
    pub mod csi {
        tonic::include_proto!("csi.v1");
    }
}
