//! The client side of the Container Runtime Interface (CRI v1): one method per call, each with its deadline and its
//! metrics, answering in the words of `types`.
//!
//! Decides: what the runtime's answers mean (pure functions in `convert`), when a call has taken too long, what
//! kind of failure an error is. [`Runtime`] connects when it is first used and again after the runtime restarted; a
//! runtime that is away is an error at once, a runtime that hangs is an error when the deadline has passed, and
//! neither is noticed by any other call.
//!
//! Tasks: none of its own. Events are a stream that its reader drives, over a connection that no call shares.
//!
//! Does not: retry (callers decide again from what they observe), build configurations of sandboxes and containers
//! (`containerconfig`), choose what to pull (`image`), copy exec or attach streams (`server`), read log files
//! (`logs`), or use the calls of CRI that list in a stream.

mod call;
mod channel;
mod container;
mod convert;
mod endpoint;
mod error;
mod events;
mod exits;
mod image;
mod metrics;
mod observe;
mod redact;
mod runtime;
mod sandbox;
mod stats;
mod streaming;

pub use call::Operation;
pub use endpoint::{Endpoint, EndpointError};
pub use error::{CriError, CriErrorKind};
pub use events::{ContainerEvent, ContainerEventKind};
pub use image::{FilesystemUsage, Image, ImageFsInfo};
pub use metrics::Metrics;
pub use runtime::{CgroupDriver, Condition, Options, Runtime, RuntimeHandler, RuntimeStatus, Version};
pub use streaming::{ExecOutput, StreamOptions};

/// The messages, clients and servers of CRI v1, generated from `proto/runtime/v1/api.proto`.
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::restriction)]
pub mod v1 {
    tonic::include_proto!("runtime.v1");
}
