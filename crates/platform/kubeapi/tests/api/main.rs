//! The crate against a small HTTP server with faults on demand.

mod client;
mod objects;
mod server;
mod tls;
mod watches;
mod writes;
