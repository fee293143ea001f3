//! What a node agent asks of a pod over the network: an HTTP GET, a TCP connection, the health of a gRPC server. Probes
//! and lifecycle hooks ask it (Kubernetes: "Configure Liveness, Readiness and Startup Probes", "Container Lifecycle
//! Hooks").
//!
//! Decides: where a request goes and what goes with it, and which redirects are followed.
//!
//! Tasks: none of its own. Whoever asks says how long it may take, or drops the future; a connection whose other side has
//! gone silent is then closed where that holds up nobody.
//!
//! Does not: judge an answer (`probe`, `sync`), check certificates (pods sign their own), use proxies, or keep
//! connections.

mod get;
mod grpc;
mod hop;
mod request;
mod socket;
mod target;
mod tls;

pub use get::{Answer, GetError};
pub use grpc::{Health, HealthError, ServingStatus};
pub use request::{Caller, Get};
pub use socket::{DialError, Refusal, Socket, connect};
pub use target::{Target, TargetError};

/// The messages, client and server of gRPC's health protocol, generated from `proto/health.proto`.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::restriction)]
pub mod v1 {
    tonic::include_proto!("grpc.health.v1");
}
