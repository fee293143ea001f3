//! Servers of volumes of networks on this machine, and what reaches them: a kernel's NFS server, a kernel's iSCSI target,
//! iscsid, multipathd and udev. They belong to the whole machine, so they are started in one that is thrown away alone, and
//! by one test at a time.

mod daemon;
mod initiator;
mod iscsi;
mod nfs;

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};

pub use initiator::{Initiator, sessions};
pub use iscsi::{Chap, Target};
pub use nfs::NfsServer;

/// The name of the machine that is thrown away.
const MACHINE: &str = "berth-vm";

/// Which test has the servers.
const LOCK: &str = "/run/lab-targets.lock";

/// What is needed, and what shows that it is there: a module of the kernel, or a program.
const NEEDED: [(&str, &str); 5] = [
    ("the NFS server of the kernel", "nfsd"),
    ("the iSCSI target of the kernel", "iscsi_target_mod"),
    ("iSCSI of the kernel", "iscsi_tcp"),
    ("open-iscsi", "/usr/sbin/iscsid"),
    ("nfs-kernel-server", "/usr/sbin/rpc.mountd"),
];

/// The servers of this machine are this test's until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _lock: File,
}

impl Turn {
    /// Waits for the turn. The inner error says why there are no such servers here.
    ///
    /// # Errors
    /// The file system, or the kernel.
    pub fn take() -> Result<Result<Self, String>> {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").context("read the host's name")?;
        if name.trim() != MACHINE {
            return Ok(Err(
                "they change settings of the whole machine: `cargo xtask vm` has one for them".to_owned()
            ));
        }
        for (what, shown_by) in NEEDED {
            let is_there =
                if shown_by.starts_with('/') { Path::new(shown_by).exists() } else { load(shown_by) };
            if !is_there {
                return Ok(Err(format!("this machine lacks {what}")));
            }
        }
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(LOCK);
        let lock = lock.with_context(|| format!("open {LOCK}"))?;
        flock(&lock, FlockOperation::LockExclusive).with_context(|| format!("lock {LOCK}"))?;
        Ok(Ok(Self { _lock: lock }))
    }
}

/// Loads a module of the kernel; false if there is none.
fn load(module: &str) -> bool {
    Path::new("/sys/module").join(module).exists()
        || Command::new("modprobe").arg(module).status().is_ok_and(|status| status.success())
}

/// Mounts a file system that the kernel has once, unless it is mounted.
fn mount_once(fs_type: &str, at: &str) -> Result<()> {
    let table = fs::read_to_string("/proc/self/mountinfo").context("read the mount table")?;
    if table.lines().any(|line| line.split(' ').nth(4) == Some(at)) {
        return Ok(());
    }
    run(Command::new("mount").args(["-t", fs_type, fs_type, at]))
}

/// Tells the kernel something by one of its files.
fn tell(path: impl AsRef<Path>, text: &str) -> Result<()> {
    let path = path.as_ref();
    fs::write(path, text).with_context(|| format!("write {text:?} to {}", path.display()))
}

/// Runs a command that has to succeed.
fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("start {command:?}"))?;
    let said = [output.stdout, output.stderr].concat();
    ensure!(
        output.status.success(),
        "{command:?} ended with {}: {}",
        output.status,
        String::from_utf8_lossy(&said)
    );
    Ok(())
}
