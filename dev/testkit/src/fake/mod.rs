//! A container runtime in memory: a real CRI server on a unix socket, over a [`Store`] that behaves as containerd's
//! does, with faults on demand and a journal of every call.
//!
//! It runs no process: containers run because the store says so, until a test says otherwise. The store outlives a
//! [`FakeRuntime::restart`], as containers outlive a restart of their runtime. What no kubelet should ever do is
//! recorded as a violation ([`Store::violations`]), whether the runtime refuses it or not.

mod config;
mod fault;
mod handle;
mod image_service;
mod listener;
mod logs;
mod runtime_service;
mod script;
mod serve;
mod stats;
mod store;
mod view;

pub use crate::faults::FaultGuard;
pub use config::{IMAGE, container_config, sandbox_config};
pub use fault::{Fault, Match};
pub use handle::{FakeRuntime, NotSeen};
pub use logs::LogStream;
pub use script::{ExecAnswer, Script};
pub use store::{Call, Container, Image, Sandbox, Store};
pub use tonic::Code;
