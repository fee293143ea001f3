//! What the other crates' tests stand on: a fake runtime with faults on demand, plugins and a CSI driver with the same, a
//! private real containerd, pods, and authorities with clients of theirs.
//!
//! Decides: nothing. Tasks: the fakes serve their sockets; containerd is a child process.
//!
//! Does not: get compiled into berth. Crates name it under `[dev-dependencies]` only.

pub mod apiserver;
pub mod containerd;
pub mod csi;
pub mod disk;
pub mod fake;
mod faults;
mod listener;
pub mod plugin;
pub mod pod;
pub mod port;
pub mod tls;
