//! A private real containerd, on demand, and a berth on it. See the crate `lab`; this is the same under the name that
//! tests look for.

pub use lab::containerd::{Containerd, Driver, Instance, Options, Version, remove_abandoned};
pub use lab::leftovers::Leftovers;
pub use lab::node::Node;
pub use lab::oci::{BUSYBOX, PAUSE};
