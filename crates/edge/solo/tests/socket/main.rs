//! The server on a socket.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod certificates;
mod nodes;
mod rig;
mod streams;
