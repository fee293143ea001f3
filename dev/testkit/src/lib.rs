//! What the other crates' tests stand on: a fake runtime with faults on demand, a private real containerd, pods,
//! and authorities with clients of theirs.
//!
//! Decides: nothing. Tasks: the fake runtime serves a socket; containerd is a child process.
//!
//! Does not: get compiled into berth. Crates name it under `[dev-dependencies]` only.

pub mod apiserver;
pub mod containerd;
pub mod fake;
pub mod pod;
pub mod tls;
