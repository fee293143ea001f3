//! The node's own API, to which requests about running containers go.

mod certificate;
mod client;
mod place;

pub(crate) use client::NodeClient;
pub use client::NodeError;
pub(crate) use place::Place;
