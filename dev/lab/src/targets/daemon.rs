//! Daemons that end with whoever has started them.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

/// How long a daemon may take until it listens, in an emulated machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often is looked whether it does: nothing tells.
const PAUSE: Duration = Duration::from_millis(50);

/// Where what they say goes.
const LOGS: &str = "/run";

/// How it shows that a daemon listens.
pub(super) enum Sign {
    /// By a unix socket whose name ends so.
    Socket(&'static str),
    /// By an open file whose name ends so.
    File(&'static str),
}

/// A daemon in the foreground.
#[derive(Debug)]
pub(super) struct Daemon(Child);

impl Daemon {
    /// Starts it, and waits until it listens.
    pub(super) async fn start(command: &mut Command, sign: &Sign) -> Result<Self> {
        // Not to this process' output: whoever reads that waits until nobody can write any more.
        let said = Path::new(LOGS).join(Path::new(command.get_program()).file_name().unwrap_or_default());
        let said = fs::File::create(said.with_extension("log")).context("make the log of a daemon")?;
        command.stdin(Stdio::null()).stderr(said.try_clone().context("copy a descriptor")?).stdout(said);
        let mut daemon = Self(command.spawn().with_context(|| format!("start {command:?}"))?);
        let give_up = Instant::now() + PATIENCE;
        while !daemon.listens(sign) {
            if let Some(status) = daemon.0.try_wait().context("look for a daemon")? {
                bail!("{command:?} ended with {status}; see {LOGS}");
            }
            if Instant::now() > give_up {
                bail!("{command:?} does not listen; see {LOGS}");
            }
            sleep(PAUSE).await;
        }
        Ok(daemon)
    }

    fn listens(&self, sign: &Sign) -> bool {
        match sign {
            Sign::Socket(name) => {
                let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
                sockets.lines().any(|line| line.ends_with(name))
            }
            Sign::File(name) => {
                let files = fs::read_dir(format!("/proc/{}/fd", self.0.id())).into_iter().flatten().flatten();
                let mut paths = files.filter_map(|file| fs::read_link(file.path()).ok());
                paths.any(|path| path.ends_with(name))
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
