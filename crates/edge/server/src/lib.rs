//! What others call. In this cut: the local API on a unix socket (mode 0600), and the healthz port.
//!
//! Decides: what advice goes with a pod's state ([`why`]).
//!
//! Tasks: one listener per address; each connection is a task of its own, and a slow one delays no other.
//!
//! Does not: know pods itself. It asks [`Local`].

mod listen;
mod local;
pub mod why;

pub use listen::{ListenError, serve_tcp, serve_unix};
pub use local::{Local, LogFile, LogQuery, MetricsPage, Problem, healthz, local_api};
