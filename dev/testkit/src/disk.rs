//! Disks of the machine, made of files. As root.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A loop device. Dropping it takes it away.
#[derive(Debug)]
pub struct Disk(
    /// Its path, such as `/dev/loop0`.
    pub PathBuf,
);

impl Disk {
    /// A disk with the content of `file`. None where the kernel has no loop devices (left).
    #[must_use]
    pub fn on(file: &Path) -> Option<Self> {
        let output = Command::new("losetup").args(["--find", "--show"]).arg(file).output().ok()?;
        let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then(|| Self(path.into()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}
