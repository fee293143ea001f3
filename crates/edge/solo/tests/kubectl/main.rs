//! kubectl itself against the server: its verbs on the kinds that there are, what it prints, and how it ends.
//!
//! The program is `$KUBECTL`, or else the `kubectl` of the search path (Debian's `kubernetes-client`). Where there is
//! none, these tests say so and pass. What only newer versions have is left out with older ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test may panic, and says why it does nothing"
)]

mod access;
mod bad_input;
mod cluster;
mod discovery;
mod imperative;
mod kinds;
mod manifests;
mod nodes;
mod pods;
mod selection;
mod storage;
