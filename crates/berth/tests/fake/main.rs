//! The program on a container runtime in memory: the real `berth`, with files, processes and signals, whose runtime
//! does on demand what real ones do only when one does not look.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test that cannot go on says so by panicking"
)]

mod addresses;
mod api_admission;
mod api_chaos;
mod api_clock;
mod api_deletion;
mod api_failures;
mod api_mirror;
mod api_node;
mod api_objects;
mod api_pods;
mod api_real;
mod api_restart;
mod api_server;
mod api_signed;
mod bad_input;
mod blast_radius;
mod commands;
mod csi;
mod csi_attach;
mod csi_soak;
mod dice;
mod events;
mod exposition;
mod hooks;
mod images;
mod lifecycle;
mod metrics;
mod mounted;
mod podresources;
mod port;
mod port_api;
mod port_load;
mod port_rig;
mod probes;
mod replacement;
mod restart_policy;
mod restart_safety;
mod rig;
mod runtime;
mod solo;
mod solo_volumes;
mod url;
