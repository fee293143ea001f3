//! A server with kubectl beside it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use solo::{Settings, Solo};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::manifests;

/// A server, and the kubectl that talks to it.
pub(crate) struct Cluster {
    dir: TempDir,
    kubectl: PathBuf,
    /// The `20` of kubectl 1.20.
    pub(crate) minor: u32,
    stop: CancellationToken,
    _runtime: Runtime,
}

/// How a kubectl ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Cluster {
    /// None if this machine has no kubectl, which is said.
    pub(crate) fn start() -> Option<Self> {
        let kubectl = std::env::var_os("KUBECTL").map_or_else(|| PathBuf::from("kubectl"), PathBuf::from);
        let Some(minor) = minor(&kubectl) else {
            eprintln!("skipped: there is no {}; Debian calls it kubernetes-client", kubectl.display());
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let settings =
            Settings::new(dir.path().join("solo"), "127.0.0.1:0".parse().unwrap(), "n1".to_owned());
        let solo = runtime.block_on(Solo::open(&settings)).unwrap();
        let stop = CancellationToken::new();
        runtime.spawn(solo.serve(stop.clone()));
        Some(Self { dir, kubectl, minor, stop, _runtime: runtime })
    }

    /// With the node there.
    pub(crate) fn with_node() -> Option<Self> {
        let cluster = Self::start()?;
        cluster.create(manifests::NODE);
        Some(cluster)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command
            .args(args)
            .env("KUBECONFIG", self.dir().join("solo/admin.kubeconfig"))
            .env("HOME", self.dir())
            .env("TMPDIR", self.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs it, with something in its environment.
    pub(crate) fn run_in(&self, environment: &[(&str, &str)], args: &[&str]) -> Ended {
        ended(self.command(args).envs(environment.iter().copied()).spawn().unwrap())
    }

    /// Runs it.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        self.run_in(&[], args)
    }

    /// Runs it with a manifest at its standard input.
    pub(crate) fn fed(&self, args: &[&str], manifest: &str) -> Ended {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // kubectl 1.20 takes anything that begins with a brace for JSON.
        let start = if manifest.starts_with("{") && !manifest.starts_with("{\"") { "---\n" } else { "" };
        child.stdin.take().unwrap().write_all(format!("{start}{manifest}").as_bytes()).unwrap();
        ended(child)
    }

    /// What it prints; it succeeds. The arguments are split at blanks.
    #[track_caller]
    pub(crate) fn ok(&self, args: &str) -> String {
        self.ok_args(&words(args))
    }

    /// The same with arguments that have blanks.
    #[track_caller]
    pub(crate) fn ok_args(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{args:?}: {}{}", ended.out, ended.err);
        ended.out.trim_end().to_owned()
    }

    /// What it complains of; it fails.
    #[track_caller]
    pub(crate) fn fails(&self, args: &str) -> String {
        self.fails_args(&words(args))
    }

    #[track_caller]
    pub(crate) fn fails_args(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_ne!(ended.code, 0, "{args:?}: {}", ended.out);
        ended.out + &ended.err
    }

    #[track_caller]
    pub(crate) fn create(&self, manifest: &str) -> String {
        self.with(&["create", "-f", "-"], manifest)
    }

    #[track_caller]
    pub(crate) fn apply(&self, manifest: &str) -> String {
        self.with(&["apply", "-f", "-"], manifest)
    }

    /// What it prints; it succeeds with the manifest.
    #[track_caller]
    pub(crate) fn with(&self, args: &[&str], manifest: &str) -> String {
        let ended = self.fed(args, manifest);
        assert_eq!(ended.code, 0, "{args:?}: {}{}\n{manifest}", ended.out, ended.err);
        ended.out.trim_end().to_owned()
    }

    /// What it complains of when it is to apply the manifest.
    #[track_caller]
    pub(crate) fn refuses(&self, manifest: &str) -> String {
        let ended = self.fed(&["apply", "-f", "-"], manifest);
        assert_ne!(ended.code, 0, "{}\n{manifest}", ended.out);
        ended.err
    }

    #[track_caller]
    pub(crate) fn json(&self, args: &str) -> Value {
        serde_json::from_str(&self.ok(&format!("{args} -o json"))).unwrap()
    }

    /// A file for commands that want one.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.dir().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Starts one that goes on, as a watch does.
    pub(crate) fn spawn(&self, args: &str) -> Child {
        self.command(&words(args)).spawn().unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn words(args: &str) -> Vec<&str> {
    args.split_whitespace().collect()
}

fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

fn minor(kubectl: &Path) -> Option<u32> {
    let output = Command::new(kubectl).args(["version", "--client", "-o", "json"]).output().ok()?;
    let version: Value = serde_json::from_slice(&output.stdout).ok()?;
    version["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse().ok()
}
