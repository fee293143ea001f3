//! The crate against a small HTTP server with faults on demand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod events;
mod objects;
mod server;
mod tls;
mod watches;
mod writes;
