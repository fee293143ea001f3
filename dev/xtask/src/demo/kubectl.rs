//! `kubectl`, as the demo's user has it.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::debian;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// How often a server that does not answer yet is asked.
const ASKED_EVERY: Duration = Duration::from_millis(100);

/// A `kubectl` that talks to one server, and keeps its cache in a place that goes with the demo.
#[derive(Debug)]
pub(super) struct Kubectl {
    kubeconfig: PathBuf,
    cache: PathBuf,
}

impl Kubectl {
    /// The `kubectl` of this machine, installed if it has none, for the server whose files are in `dir`.
    pub(super) fn of_server(dir: &Path) -> Result<Self> {
        debian::ensure(&debian::KUBECTL)?;
        Ok(Self { kubeconfig: dir.join("admin.kubeconfig"), cache: dir.join("kubectl-cache") })
    }

    /// What a person types to use the same server.
    pub(super) fn environment(&self) -> String {
        format!("export KUBECONFIG={}", self.kubeconfig.display())
    }

    /// Runs it until it succeeds. `alive` fails if it never will.
    pub(super) async fn until(
        &self,
        within: Duration,
        args: &[&str],
        mut alive: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            alive()?;
            let Err(error) = self.ask(args).await else { return Ok(()) };
            if Instant::now() >= deadline {
                return Err(error.context(format!("not done after {} s", within.as_secs())));
            }
            sleep(ASKED_EVERY).await;
        }
    }

    /// Runs it, and gives what it prints.
    ///
    /// # Errors
    /// It fails; what it says is in the error.
    pub(super) async fn ask(&self, args: &[&str]) -> Result<String> {
        let output = self.run(args).await?;
        if !output.status.success() {
            bail!("kubectl ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Runs it, whether it succeeds or not.
    pub(super) async fn run(&self, args: &[&str]) -> Result<Output> {
        Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--cache-dir")
            .arg(&self.cache)
            .args(args)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("start kubectl")
    }
}
