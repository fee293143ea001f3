//! Volumes of real servers: the kernel's NFS server and its iSCSI target, on this machine. In the emulated machine alone
//! (`cargo xtask vm --package intree`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by panicking"
)]

mod iscsi;
mod nfs;
mod world;
