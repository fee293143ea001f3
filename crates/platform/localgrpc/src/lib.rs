//! gRPC that others on this machine ask the agent over unix sockets: the contracts, and serving them to any client.
//!
//! Decides: what becomes of the name that a client calls its server by ([`authority`]), and how much clients may take.
//!
//! Tasks: [`serve`] accepts, and has a task for each connection; both wake on the client, and on the order to stop.
//!
//! Does not: make the socket, or answer anything (`server`). Who may open the socket may ask.

pub mod authority;
mod serve;
mod stream;

pub use serve::serve;

/// Which pod has which of the node's resources ("Kubelet's PodResources gRPC service"), generated from `proto/`.
pub mod podresources {
    /// The version that is current.
    #[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::restriction)]
    pub mod v1 {
        tonic::include_proto!("v1");
    }
    /// The version before it.
    #[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::restriction)]
    pub mod v1alpha1 {
        tonic::include_proto!("v1alpha1");
    }
}
