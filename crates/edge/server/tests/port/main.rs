//! The port on a socket, with real TLS and clients of all kinds, over an agent and a runtime that are made up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod abuse;
mod access;
mod agent;
mod reviews;
mod rig;
mod routes;
mod runtime;
mod spdy;
mod streams;
mod websockets;
