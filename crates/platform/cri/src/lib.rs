//! The client side of the Container Runtime Interface.

/// The messages, clients and servers of CRI v1, generated from `proto/runtime/v1/api.proto`.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::restriction)]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}

mod redact;
