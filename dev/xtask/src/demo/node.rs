//! The berth of the demo: its files, its process, and the questions it answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use lab::containerd::Instance;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::workspace;

/// A node agent that works in the directory of a private containerd.
pub(super) struct Node {
    program: PathBuf,
    dir: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// Writes the configuration.
    pub(super) fn prepare(instance: &Instance, program: &Path) -> Result<Self> {
        let node = Self { program: program.to_path_buf(), dir: instance.dir().join("node"), child: None };
        for folder in [node.manifests(), node.root()] {
            fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        }
        fs::write(node.config(), node.configuration(instance)).context("write berth's configuration")?;
        Ok(node)
    }

    /// The node that an earlier demo has left running, if its files are there.
    pub(super) fn running(program: &Path) -> Option<Self> {
        let dir = Path::new(super::DIR).join("run/node");
        dir.exists().then(|| Self { program: program.to_path_buf(), dir, child: None })
    }

    fn manifests(&self) -> PathBuf {
        self.dir.join("manifests")
    }

    fn root(&self) -> PathBuf {
        self.dir.join("kubelet")
    }

    fn config(&self) -> PathBuf {
        self.dir.join("config.yaml")
    }

    fn socket(&self) -> PathBuf {
        self.root().join("berth.sock")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("berth.log")
    }

    /// Ports are off: a kubelet of the machine's owner may use them.
    fn configuration(&self, instance: &Instance) -> String {
        format!(
            "apiVersion: kubelet.config.k8s.io/v1beta1\n\
             kind: KubeletConfiguration\n\
             staticPodPath: {manifests}\n\
             podLogsDir: {logs}\n\
             containerRuntimeEndpoint: unix://{runtime}\n\
             cgroupDriver: {driver}\n\
             cgroupRoot: {cgroup}\n\
             failSwapOn: false\n\
             enableServer: false\n\
             healthzPort: 0\n",
            manifests = self.manifests().display(),
            logs = self.dir.join("logs").display(),
            runtime = instance.socket().display(),
            driver = instance.driver().as_str(),
            cgroup = instance.cgroup_root(),
        )
    }

    /// Starts berth.
    pub(super) fn start(&mut self, instance: &Instance) -> Result<()> {
        let log = fs::File::create(self.log()).context("create berth's log")?;
        let child = Command::new(&self.program)
            .args([
                format!("--config={}", self.config().display()),
                format!("--root-dir={}", self.root().display()),
            ])
            .args([&format!("--hostname-override={}", instance.name()), "-v=2"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share berth's log")?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Fails if berth has ended.
    pub(super) fn check_alive(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        match child.try_wait().context("look at berth")? {
            Some(status) => bail!("berth ended with {status}; the end of its log:\n{}", self.log_tail()),
            None => Ok(()),
        }
    }

    /// Leaves berth running when this program ends.
    pub(super) fn keep(&mut self) {
        self.child = None;
    }

    /// Stops berth as a service manager would, and waits for its end.
    pub(super) async fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)) else { return Ok(()) };
        kill_process(pid, Signal::TERM).context("send SIGTERM to berth")?;
        match tokio::time::timeout(std::time::Duration::from_secs(20), child.wait()).await {
            Ok(status) => {
                let status = status.context("wait for berth")?;
                if !status.success() {
                    bail!("berth ended with {status} after SIGTERM");
                }
                Ok(())
            }
            Err(_) => {
                child.kill().await.context("kill berth")?;
                bail!("berth did not end within 20 s of SIGTERM")
            }
        }
    }

    /// Copies the examples into the manifest directory, each in one step: berth sees whole files only.
    pub(super) fn drop_manifests(&self) -> Result<()> {
        let examples = workspace::root().join("examples");
        for entry in fs::read_dir(&examples).with_context(|| format!("read {}", examples.display()))? {
            let from = entry.context("read examples")?.path();
            if from.extension().is_some_and(|extension| extension == "yaml") {
                let name =
                    from.file_name().context("a manifest without name")?.to_string_lossy().into_owned();
                let hidden = self.manifests().join(format!(".{name}"));
                fs::copy(&from, &hidden).with_context(|| format!("copy {name}"))?;
                fs::rename(&hidden, self.manifests().join(&name))
                    .with_context(|| format!("rename {name}"))?;
            }
        }
        Ok(())
    }

    /// Empties the manifest directory.
    pub(super) fn remove_manifests(&self) -> Result<()> {
        for entry in fs::read_dir(self.manifests()).context("read the manifest directory")? {
            let path = entry.context("read the manifest directory")?.path();
            fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
        Ok(())
    }

    /// The command that a person would type to ask the same.
    pub(super) fn command_line(&self, question: &str) -> String {
        format!("{} {question} --socket {}", self.program.display(), self.socket().display())
    }

    /// Runs a subcommand of berth's and returns what it prints.
    pub(super) async fn ask(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.args(args).arg("--socket").arg(self.socket()).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.with_context(|| format!("start {}", self.program.display()))?;
        if !output.status.success() {
            bail!(
                "berth {} ended with {}: {}",
                args.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// The end of berth's log.
    pub(super) fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}
