//! Everything of berth that reads what others wrote, as functions of bytes, and a way to make such bytes.
//!
//! Decides: what is fuzzed ([`TARGETS`]), and how an input is made from seeds ([`mutation`]). The same functions are
//! run by cargo-fuzz from `fuzz/`, guided by coverage, and by `cargo xtask fuzz` with any toolchain.
//! Does not: check what the functions return. They must not panic, hang or use memory without bound.

pub mod mutation;
mod targets;

pub use targets::{TARGETS, Target};
