//! A server on a socket, and clients of all kinds: those with good and bad certificates, those that are slow, those that
//! speak no TLS, and those that never go.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod abuse;
mod certificates;
mod ending;
mod rig;
