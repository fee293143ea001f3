//! An API server of one's own: that of `berth solo`, or `kube-apiserver` on `etcd`. Its files are in one directory, and
//! what a node asked of it is in a log that [`ApiServer::requests`] counts.

mod identities;
mod kubernetes;
mod requests;

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

use crate::log;
pub use requests::Requests;

/// How long `berth solo` may take until it listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);

/// How often it is looked whether it does.
const LOOKED_EVERY: Duration = Duration::from_millis(20);

/// Which API server.
#[derive(Debug, Clone)]
pub enum Kind {
    /// That of `berth solo`, without an agent; the program is berth.
    Solo(PathBuf),
    /// `etcd` and `kube-apiserver` of a directory. Beside the kubeconfigs there are `ca.crt`, `admin.crt` and
    /// `node.crt`, with their keys.
    Kubernetes(PathBuf),
}

impl Kind {
    /// The programs of the directory that `KUBEBUILDER_ASSETS` names, as the field has it; `None` if it is not set.
    pub fn of_environment() -> Option<Self> {
        std::env::var_os("KUBEBUILDER_ASSETS").map(|dir| Self::Kubernetes(dir.into()))
    }

    /// What the server's process is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Solo(_) => "solo",
            Self::Kubernetes(_) => "kube-apiserver",
        }
    }
}

/// A running API server with one node. Dropped, it is killed: its objects are worth nothing to anybody.
#[derive(Debug)]
pub struct ApiServer {
    kind: Kind,
    dir: PathBuf,
    node: String,
    processes: Vec<Process>,
}

/// One of its processes.
#[derive(Debug)]
struct Process {
    name: &'static str,
    child: Child,
}

impl ApiServer {
    /// Starts one whose files are in `dir`, and which knows the node by that name. `kube-apiserver` answers only after a
    /// while: whoever has its kubeconfig has to ask until then.
    ///
    /// # Errors
    /// A program cannot be started, or ended at once; the end of its log is in the error.
    pub async fn start(kind: &Kind, dir: &Path, node: &str) -> Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let mut server =
            Self { kind: kind.clone(), dir: dir.to_owned(), node: node.to_owned(), processes: Vec::new() };
        match kind {
            Kind::Solo(program) => server.start_solo(program).await?,
            Kind::Kubernetes(assets) => server.start_kubernetes(assets)?,
        }
        Ok(server)
    }

    /// The kubeconfig of somebody who may do everything.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.dir.join("admin.kubeconfig")
    }

    /// The kubeconfig of the node.
    pub fn node_kubeconfig(&self) -> PathBuf {
        self.dir.join("node.kubeconfig")
    }

    /// Its processes: what they are called, and their numbers. The one that clients talk to is the first.
    pub fn processes(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.processes.iter().map(|process| (process.name, process.child.id()))
    }

    /// How often the node has asked for what, so far.
    ///
    /// # Errors
    /// The log of requests cannot be read.
    pub fn requests(&self) -> Result<Requests> {
        let user = format!("system:node:{}", self.node);
        match &self.kind {
            Kind::Solo(_) => Ok(requests::of_solo(&read(&self.log("solo"))?, &user)),
            Kind::Kubernetes(_) => Ok(requests::of_audit(&read(&self.audit_log())?, &user)),
        }
    }

    /// Looks whether it still runs.
    ///
    /// # Errors
    /// One of its processes has ended; the end of its log is in the error.
    pub fn check_alive(&mut self) -> Result<()> {
        for Process { name, child } in &mut self.processes {
            if let Some(status) = child.try_wait().with_context(|| format!("look at {name}"))? {
                let end = log::end(&self.dir.join(format!("{name}.log")));
                bail!("{name} ended with {status}; the end of its log:\n{end}");
            }
        }
        Ok(())
    }

    async fn start_solo(&mut self, program: &Path) -> Result<()> {
        // At this verbosity it logs every request.
        let dir = self.dir.display().to_string();
        let flags = ["solo", "--no-agent", "-v=4", "--listen=127.0.0.1:0"].map(str::to_owned);
        let more = [format!("--dir={dir}"), format!("--node-name={}", self.node)];
        self.launch("solo", program, &[&flags[..], &more].concat())?;
        // The port is in the kubeconfigs, which it writes when it has one.
        let deadline = Instant::now() + LISTENS_WITHIN;
        while !(self.admin_kubeconfig().exists() && self.node_kubeconfig().exists()) {
            self.check_alive()?;
            if Instant::now() > deadline {
                bail!("berth solo did not listen within {} s", LISTENS_WITHIN.as_secs());
            }
            sleep(LOOKED_EVERY).await;
        }
        Ok(())
    }

    /// Starts a program of the server's, with its log in a file of its name.
    fn launch(&mut self, name: &'static str, program: &Path, flags: &[String]) -> Result<()> {
        let path = self.log(name);
        let log = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        let child = Command::new(program)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log file")?)
            .stderr(log)
            // A Ctrl-C is for the program that started it.
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        self.processes.insert(0, Process { name, child });
        Ok(())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    fn audit_log(&self) -> PathBuf {
        self.log("audit")
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        for Process { child, .. } in &mut self.processes {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}
