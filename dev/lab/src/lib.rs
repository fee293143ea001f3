//! What tests, the demo and the bench need of a real machine: Debian packages, images made without a registry, a private
//! containerd with a berth on it, servers of volumes of networks, and the proof that nothing of it is left behind.
//!
//! Decides: how a containerd is configured so that it shares nothing with one that the machine's owner runs, and
//! what belongs to it. Everything made here is under one directory or carries the instance's name.
//!
//! Tasks: none of its own; a [`containerd::Containerd`] is a child process that ends with its owner.
//!
//! Does not: use any crate of berth, so that it works while those are being changed.

pub mod apiserver;
pub mod containerd;
pub mod debian;
pub mod leftovers;
pub mod log;
pub mod node;
pub mod oci;
pub mod targets;
