//! The program on a real container runtime: what containers see and what the machine has of them. Every test has a
//! private containerd and a berth of its own, and ends by proving that nothing is left of either.
//!
//! A check that needs what this machine does not have says so and is left out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on says so by panicking"
)]

mod console;
mod devices;
mod inside;
mod kubectl;
mod lifecycle;
mod machine;
mod namespaces;
mod objects;
mod port;
mod probes;
mod propagation;
mod resources;
mod restart_safety;
mod rig;
mod runtime;
mod security;
mod served;
mod service;
mod streams;
mod usage;
mod volumes;
mod workloads;
