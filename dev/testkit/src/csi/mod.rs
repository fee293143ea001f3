//! A CSI driver on real sockets that registers itself, really mounts (if wanted), and fails on demand.
//!
//! Each volume is a directory with a canary file in it. Staging bind-mounts the directory onto the staging path,
//! publishing bind-mounts that onto the pod's path. What no kubelet may do is recorded as a violation, and
//! [`TestDriver::damage`] tells whether anything of a volume was touched.

mod driver;
mod node;
mod options;
mod volumes;

pub use driver::TestDriver;
pub use options::{DriverOptions, Mounting};
pub use pluginapi::csi::Capability;
pub use volumes::CANARY;
