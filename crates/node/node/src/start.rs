//! What is checked and set once, before anything else runs.

use std::path::Path;

use cgroup::Version;
use linux::proc::{self, Process};

/// Why the agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Swap is on (`failSwapOn`).
    #[error(
        "swap is on ({}), and failSwapOn is set: turn it off with swapoff and in /etc/fstab, or set failSwapOn to false",
        devices.join(", ")
    )]
    SwapOn {
        /// Devices and files that are swapped to.
        devices: Vec<String>,
    },
    /// The swap spaces could not be read.
    #[error("could not find out whether swap is on")]
    Swaps(#[source] std::io::Error),
    /// The node has cgroup v1 (`failCgroupV1`).
    #[error(
        "the node has cgroup v1, which Kubernetes no longer develops, and failCgroupV1 is set: boot with cgroup v2 (systemd.unified_cgroup_hierarchy=1), or set failCgroupV1 to false"
    )]
    CgroupV1,
    /// `LimitedSwap` on cgroup v1.
    #[error(
        "memorySwap.swapBehavior is LimitedSwap, which needs cgroup v2, but the node has cgroup v1: set it to NoSwap"
    )]
    LimitedSwapOnV1,
}

/// The message of the event `CgroupV1`, on a node with cgroup v1 that runs nevertheless.
pub const CGROUP_V1_MESSAGE: &str = "cgroup v1 is in maintenance mode: migrate this node to cgroup v2";

/// Refuses cgroup v1 if `fail_cgroup_v1`, and swap for pods on it in any case.
///
/// # Errors
/// If the node is refused.
pub fn check_cgroup(version: Version, fail_cgroup_v1: bool, limited_swap: bool) -> Result<(), StartError> {
    match version {
        Version::V1 if fail_cgroup_v1 => Err(StartError::CgroupV1),
        Version::V1 if limited_swap => Err(StartError::LimitedSwapOnV1),
        Version::V1 | Version::V2 => Ok(()),
    }
}

/// What is told of a node with swap whose kernel cannot keep a tmpfs out of it.
pub const NO_NOSWAP_MESSAGE: &str = "The tmpfs noswap option is not supported. Memory-backed volumes (e.g. secrets, emptyDirs, etc.) might be swapped to disk and should no longer be considered secure.";

/// Refuses a node with swap if `fail_swap_on`. Says whether swap is on. A kernel without swap has none.
///
/// # Errors
/// If swap is on and must not be, or that cannot be found out.
pub fn check_swap(fail_swap_on: bool) -> Result<bool, StartError> {
    let devices = match std::fs::read_to_string(Path::new("/proc/swaps")) {
        Ok(text) => swap_devices(&text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(StartError::Swaps(error)),
    };
    match devices.is_empty() {
        true => Ok(false),
        false if fail_swap_on => Err(StartError::SwapOn { devices }),
        false => Ok(true),
    }
}

/// The devices and files of `/proc/swaps`, whose first line is a heading.
fn swap_devices(text: &str) -> Vec<String> {
    let lines = text.lines().skip(1);
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Sets up this process: how unlikely it is to be killed for want of memory (`oomScoreAdj`), and how many files it may
/// open (`maxOpenFiles`). What the kernel refuses is logged, and done without.
pub fn prepare_process(oom_score_adj: i32, max_open_files: u64) {
    if let Err(error) = proc::set_oom_score_adj(Process::Current, oom_score_adj) {
        tracing::warn!(oom_score_adj, error = %telemetry::chain(&error), "Could not set the OOM score of berth itself");
    }
    let limit = proc::raise_max_open_files(max_open_files);
    if limit < max_open_files {
        tracing::warn!(max_open_files, limit, "berth may open fewer files than configured");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swaps() {
        let heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        assert!(swap_devices(heading).is_empty() && swap_devices("").is_empty());
        let text = format!("{heading}/dev/sda2  partition 8388604 0 -2\n/swap\\040file file 1024 0 -3\n");
        assert_eq!(swap_devices(&text), ["/dev/sda2", "/swap\\040file"]);
    }

    #[test]
    fn versions() {
        assert!(check_cgroup(Version::V2, true, true).is_ok());
        assert!(matches!(check_cgroup(Version::V1, true, false), Err(StartError::CgroupV1)));
        assert!(matches!(check_cgroup(Version::V1, false, true), Err(StartError::LimitedSwapOnV1)));
        assert!(check_cgroup(Version::V1, false, false).is_ok());
    }
}
