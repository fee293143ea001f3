//! The node's part of CSI v1: one method per call, each with its deadline and its metrics.

mod access;
mod capability;
mod driver;
mod metrics;
mod redact;
mod request;
mod secrets;
mod usage;

pub use access::{AccessMode, AccessType, VolumeAccess};
pub use capability::{Capabilities, Capability};
pub use driver::{Driver, NodeInfo, PluginInfo};
pub use metrics::Metrics;
pub use request::{Expand, Publish, Stage};
pub use secrets::Secrets;
pub use usage::{Usage, VolumeUsage};
