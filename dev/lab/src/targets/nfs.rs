//! The kernel's NFS server.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::daemon::{Daemon, Sign};
use super::{Turn, load, mount_once, run, tell};

const CONTROL: &str = "/proc/fs/nfsd";
const PIPES: &str = "/run/rpc_pipefs";

/// A server of NFS 4 that exports one directory to this machine. Dropping it ends it.
#[derive(Debug)]
pub struct NfsServer {
    dir: PathBuf,
    _mountd: Daemon,
    _clients: Daemon,
}

impl NfsServer {
    /// Exports `dir`, also to root.
    ///
    /// # Errors
    /// What could not be done.
    pub async fn start(_turn: &Turn, dir: &Path) -> Result<Self> {
        load("nfsd");
        mount_once("nfsd", CONTROL)?;
        // Clients are remembered: otherwise the server waits for a time of grace before it lets anybody write.
        std::fs::create_dir_all(PIPES).with_context(|| format!("make {PIPES}"))?;
        mount_once("rpc_pipefs", PIPES)?;
        let remembers = Sign::File("nfsdcld/main.sqlite");
        let clients = Daemon::start(Command::new("nfsdcld").args(["-F", "-p", PIPES]), &remembers).await?;
        let asked = Sign::File("nfs/etab");
        let mountd =
            Daemon::start(Command::new("rpc.mountd").args(["-F", "-N", "2", "-N", "3"]), &asked).await?;
        let options = "rw,no_root_squash,no_subtree_check,insecure,fsid=77";
        run(Command::new("exportfs").args(["-o", options]).arg(export(dir)))?;
        let server = Self { dir: dir.to_owned(), _mountd: mountd, _clients: clients };
        server.answer()?;
        Ok(server)
    }

    /// The address of the server.
    #[must_use]
    pub fn address(&self) -> &'static str {
        "127.0.0.1"
    }

    /// It answers again, or for the first time.
    ///
    /// # Errors
    /// What could not be done.
    pub fn answer(&self) -> Result<()> {
        run(Command::new("rpc.nfsd").args(["-N", "3", "2"]))?;
        // Nobody has state from before that would have to be waited for. A kernel that knows refuses.
        let _ = tell(Path::new(CONTROL).join("v4_end_grace"), "Y");
        Ok(())
    }

    /// It answers no more. Whoever has it mounted waits.
    ///
    /// # Errors
    /// What could not be done.
    pub fn fall_silent(&self) -> Result<()> {
        run(Command::new("rpc.nfsd").arg("0"))
    }
}

fn export(dir: &Path) -> String {
    format!("127.0.0.1:{}", dir.display())
}

impl Drop for NfsServer {
    fn drop(&mut self) {
        let _ = self.fall_silent();
        let _ = run(Command::new("exportfs").arg("-u").arg(export(&self.dir)));
    }
}
