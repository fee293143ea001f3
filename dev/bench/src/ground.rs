//! Where the runtime and the agents keep their files while they are measured.
//!
//! It is a tmpfs. On a disk's ext4, who comes later pays for what was deleted before: inodes are not used again for some
//! minutes, and each new file looks past them. The runtime by itself would be measured on another disk than the agents.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lab::containerd::{Containerd, Options, remove_abandoned};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Short, because sockets are in it.
const DIR: &str = "/var/lib/berth-bench";

/// The runtime's directory.
fn run_dir() -> PathBuf {
    Path::new(DIR).join("run")
}

/// A containerd in which nothing has run yet.
pub(crate) async fn fresh_containerd() -> Result<Containerd> {
    remove_abandoned(&run_dir())?;
    clear()?;
    fs::create_dir_all(DIR).with_context(|| format!("create {DIR}"))?;
    mount("tmpfs", DIR, "tmpfs", MountFlags::empty(), Some(c"mode=0755"))
        .with_context(|| format!("mount a tmpfs on {DIR}"))?;
    Containerd::start(&run_dir(), Options::default()).await
}

/// Stops the runtime, whatever became of the measurement; that nothing is left is part of the measurement.
pub(crate) async fn taken_down<T>(containerd: Containerd, measured: Result<T>) -> Result<T> {
    let stopped = containerd.stop().await;
    let measured = measured?;
    stopped.context("the measurement is done, but its runtime cannot be taken down")?;
    clear()?;
    Ok(measured)
}

/// Removes the directory, and what a measurement that was killed left mounted there.
fn clear() -> Result<()> {
    while unmount(DIR, UnmountFlags::empty()).is_ok() {}
    match fs::remove_dir_all(DIR) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {DIR}"))
        }
        _ => Ok(()),
    }
}
