//! `--lock-file`: one agent at a time, and one that makes way for another.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use anyhow::Context;
use linux::watch::DirWatch;
use rustix::fs::{FlockOperation, flock};

/// Holds the lock for as long as it lives.
pub(super) struct Lock {
    _file: File,
}

/// Takes the lock on `path`, waiting for another agent that holds it.
pub(super) async fn take(path: &Path) -> anyhow::Result<Lock> {
    let describe = || format!("cannot lock --lock-file {}", path.display());
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).open(path).with_context(describe)?;
    let locked = tokio::task::spawn_blocking(move || -> io::Result<File> {
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    });
    Ok(Lock { _file: locked.await?.with_context(describe)? })
}

/// Returns when another process opens the lock file, or removes it (`--exit-on-lock-contention`).
pub(super) async fn contended(path: &Path) -> anyhow::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        anyhow::bail!("--lock-file {} names no file", path.display());
    };
    let mut watch = DirWatch::new(dir)?;
    while let Some(change) = watch.next().await {
        if change?.name.as_deref() == Some(name) {
            return Ok(());
        }
    }
    Ok(())
}
