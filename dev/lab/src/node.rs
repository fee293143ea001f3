//! berth on a private containerd: its files, its process, and the questions it answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::containerd::Instance;

/// How long berth may take to end after SIGTERM.
const ENDED_WITHIN: Duration = Duration::from_secs(20);

/// How often [`Node::until`] asks.
const ASKED_EVERY: Duration = Duration::from_millis(100);

/// A node agent whose files are under the directory of a private containerd, so that whatever it leaves counts as
/// that one's leftovers. Dropped, its process is killed.
#[derive(Debug)]
pub struct Node {
    program: PathBuf,
    dir: PathBuf,
    name: String,
    child: Option<Child>,
}

impl Node {
    /// Writes the configuration of the berth that `program` is, named as the instance. `more` is YAML to put after
    /// the fields that every such node needs, and may say otherwise what those say.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn prepare(instance: &Instance, program: &Path, more: &str) -> Result<Self> {
        let node = Self {
            program: program.to_path_buf(),
            dir: folder(instance.dir()),
            name: instance.name(),
            child: None,
        };
        for folder in [node.manifests(), node.root()] {
            fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        }
        fs::write(node.config(), replaced(&node.configuration(instance), more) + more)
            .context("write berth's configuration")?;
        Ok(node)
    }

    /// The node that another program has left running on the instance, if its files are there.
    pub fn running(instance: &Instance, program: &Path) -> Option<Self> {
        let dir = folder(instance.dir());
        dir.exists().then(|| Self { program: program.to_path_buf(), dir, name: instance.name(), child: None })
    }

    /// The node's name, which ends the names of its static pods.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory of static pods.
    pub fn manifests(&self) -> PathBuf {
        self.dir.join("manifests")
    }

    /// berth's root directory.
    pub fn root(&self) -> PathBuf {
        self.dir.join("kubelet")
    }

    /// The directory of pods' logs.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// The number of its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref()?.id()
    }

    /// berth's configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.yaml")
    }

    /// berth's local API.
    pub fn socket(&self) -> PathBuf {
        self.root().join("berth.sock")
    }

    /// What berth has written on its standard output and error.
    pub fn log(&self) -> PathBuf {
        self.dir.join("berth.log")
    }

    /// Ports are off: a kubelet of the machine's owner may use them. Swap, cgroup v1 and a disk that is nearly full are
    /// taken as they are: the machine is not ours to change, and the images cannot be pulled again.
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
             failCgroupV1: false\n\
             enableServer: false\n\
             healthzPort: 0\n\
             imageGCHighThresholdPercent: 100\n\
             evictionHard: {{memory.available: 100Mi, nodefs.available: 0%, nodefs.inodesFree: 0%, imagefs.available: 0%, imagefs.inodesFree: 0%}}\n",
            manifests = self.manifests().display(),
            logs = self.logs().display(),
            runtime = instance.socket().display(),
            driver = instance.driver().as_str(),
            cgroup = instance.cgroup_root(),
        )
    }

    /// Where `berth solo` keeps its files.
    pub fn solo_dir(&self) -> PathBuf {
        self.dir.join("solo")
    }

    /// The agent's program and its arguments.
    pub fn agent_command(&self) -> [String; 5] {
        [
            self.program.display().to_string(),
            format!("--config={}", self.config().display()),
            format!("--root-dir={}", self.root().display()),
            format!("--hostname-override={}", self.name),
            "-v=2".to_owned(),
        ]
    }

    /// Starts berth, or starts it again.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(&mut self) -> Result<()> {
        self.start_as(&[], &[])
    }

    /// Starts berth as a node of the cluster that the kubeconfig names.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start_in_cluster(&mut self, kubeconfig: &Path) -> Result<()> {
        self.start_as(&[], &[&format!("--kubeconfig={}", kubeconfig.display())])
    }

    /// Starts berth with an API server beside it, `berth solo`, on a port that is free.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start_solo(&mut self) -> Result<()> {
        let dir = self.solo_dir().display().to_string();
        self.start_as(&["solo", "--dir", &dir, "--listen", "127.0.0.1:0", "--"], &[])
    }

    fn start_as(&mut self, command: &[&str], more: &[&str]) -> Result<()> {
        let log =
            fs::OpenOptions::new().create(true).append(true).open(self.log()).context("open berth's log")?;
        let [program, arguments @ ..] = self.agent_command();
        let child = Command::new(program)
            .args(command)
            .args(arguments)
            .args(more)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share berth's log")?)
            .stderr(log)
            // A Ctrl-C is for the program that started berth, which then takes it down in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Kills berth with SIGKILL, as a crash would.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("berth does not run")?;
        child.kill().await.context("kill berth")
    }

    /// Looks whether berth still runs.
    ///
    /// # Errors
    /// It has ended; the end of its log is in the error.
    pub fn check_alive(&mut self) -> Result<()> {
        let Some(child) = &mut self.child else { return Ok(()) };
        match child.try_wait().context("look at berth")? {
            Some(status) => bail!("berth ended with {status}; the end of its log:\n{}", self.log_tail()),
            None => Ok(()),
        }
    }

    /// Leaves berth running when this program ends.
    pub fn keep(&mut self) {
        self.child = None;
    }

    /// Stops berth as a service manager would, and waits for its end. Nothing to do if it does not run.
    ///
    /// # Errors
    /// It ends with a failure, or not in time.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)) else { return Ok(()) };
        kill_process(pid, Signal::TERM).context("send SIGTERM to berth")?;
        match tokio::time::timeout(ENDED_WITHIN, child.wait()).await {
            Ok(status) => {
                let status = status.context("wait for berth")?;
                if !status.success() {
                    bail!("berth ended with {status} after SIGTERM");
                }
                Ok(())
            }
            Err(_) => {
                child.kill().await.context("kill berth")?;
                bail!("berth did not end within {} s of SIGTERM", ENDED_WITHIN.as_secs())
            }
        }
    }

    /// Unmounts berth's root directory, which a kubelet makes a shared mount of and leaves so, for containers that run
    /// on. To be called when no pod is left.
    ///
    /// # Errors
    /// Something in it is still in use.
    pub fn unmount_root(&self) -> Result<()> {
        let root = self.root();
        match rustix::mount::unmount(&root, rustix::mount::UnmountFlags::empty()) {
            // It was a mount, or part of one that was shared already.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("unmount {}", root.display())),
        }
    }

    /// Puts a manifest into the directory in one step: berth sees whole files only.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put_manifest(&self, file: &str, text: &str) -> Result<()> {
        let hidden = self.manifests().join(format!(".{file}"));
        fs::write(&hidden, text).with_context(|| format!("write {}", hidden.display()))?;
        fs::rename(&hidden, self.manifests().join(file))
            .with_context(|| format!("rename {}", hidden.display()))
    }

    /// Removes a manifest.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove_manifest(&self, file: &str) -> Result<()> {
        let path = self.manifests().join(file);
        fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))
    }

    /// Empties the manifest directory.
    ///
    /// # Errors
    /// A manifest cannot be removed.
    pub fn remove_manifests(&self) -> Result<()> {
        for entry in fs::read_dir(self.manifests()).context("read the manifest directory")? {
            let path = entry.context("read the manifest directory")?.path();
            fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
        }
        Ok(())
    }

    /// The command that a person would type to ask the same.
    pub fn command_line(&self, question: &str) -> String {
        format!("{} {question} --socket {}", self.program.display(), self.socket().display())
    }

    /// Runs a subcommand of berth's and returns what it prints.
    ///
    /// # Errors
    /// It fails; what it says is in the error.
    pub async fn ask(&self, args: &[&str]) -> Result<String> {
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

    /// The `PodList` of the node.
    ///
    /// # Errors
    /// berth does not answer.
    pub async fn pods(&self) -> Result<Value> {
        serde_json::from_str(&self.ask(&["pods", "-o", "json"]).await?).context("read the pod list")
    }

    /// Asks for the `PodList` until it is as wanted, and returns it. A berth that does not answer yet is asked again.
    ///
    /// # Errors
    /// berth ended, or the pods are not as wanted in time; the last list and the end of the log are in the error.
    pub async fn until(&mut self, within: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + within;
        loop {
            self.check_alive()?;
            let pods = self.pods().await;
            match pods {
                Ok(pods) if wanted(&pods) => return Ok(pods),
                pods if Instant::now() >= deadline => {
                    let log = self.log_tail();
                    bail!(
                        "the pods are not as wanted after {} s: {pods:?}\nberth's log is\n{log}",
                        within.as_secs()
                    );
                }
                _ => tokio::time::sleep(ASKED_EVERY).await,
            }
        }
    }

    /// The end of berth's log.
    pub fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.start_kill();
        }
    }
}

/// `fields`, each on a line of its own, without those that `more` has too: a kubelet takes no field twice.
fn replaced(fields: &str, more: &str) -> String {
    let name = |line: &str| line.split(':').next().unwrap_or_default().to_owned();
    let is_new = |line: &&str| !more.lines().any(|other| name(other) == name(line));
    fields.split_inclusive('\n').filter(is_new).collect()
}

/// The node's folder beside containerd's.
fn folder(dir: &Path) -> PathBuf {
    dir.join("node")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_otherwise_is_said_once() {
        let fields = "enableServer: false\nhealthzPort: 0\nport: 1\n";
        assert_eq!(replaced(fields, "port: 2\nenableServer: true\n"), "healthzPort: 0\n");
        assert_eq!(replaced(fields, ""), fields);
    }
}
