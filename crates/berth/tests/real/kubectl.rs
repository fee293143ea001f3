//! `kubectl`, with a `berth solo` that serves the node's own API.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::Value;
use testkit::containerd::{Node, Options};
use testkit::pod::PodBuilder;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::rig::{Rig, deadline, text};

/// A `berth solo` and the kubectl that talks to it.
pub(crate) struct Kubectl {
    pub(crate) rig: Rig,
    program: PathBuf,
    /// The `20` of kubectl 1.20.
    pub(crate) minor: u32,
}

impl Kubectl {
    /// None if this machine has no kubectl, which is said.
    pub(crate) async fn start() -> Option<Self> {
        let program = std::env::var_os("KUBECTL").map_or_else(|| PathBuf::from("kubectl"), PathBuf::from);
        let Some(minor) = minor(&program).await else {
            eprintln!("skipped: there is no {}; Debian calls it kubernetes-client", program.display());
            return None;
        };
        let port = testkit::port::reserve().unwrap();
        // The API server asks the node at its address, which is not that of the loopback.
        let more = format!("enableServer: true\naddress: 0.0.0.0\nport: {port}\n");
        let rig = Rig::starting(&more, Options::default(), Node::start_solo).await;
        rig.until_up().await;
        let this = Self { rig, program, minor };
        let kubeconfig = this.rig.node.solo_dir().join("admin.kubeconfig");
        this.rig.until_machine("a kubeconfig", || kubeconfig.exists()).await;
        let name = this.rig.node.name().to_owned();
        this.until(&["get", "node", &name], |_| true).await;
        this.ok(&["wait", "--for=condition=Ready", "node", &name, "--timeout=60s"]).await;
        this.until(&["get", "serviceaccount", "default"], |_| true).await;
        Some(this)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        self.environment(&mut command);
        command.args(args);
        command
    }

    fn environment(&self, command: &mut Command) {
        let home = self.rig.dir().join("home");
        command
            .env("KUBECONFIG", self.rig.node.solo_dir().join("admin.kubeconfig"))
            .env("HOME", home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
    }

    /// Runs it to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        timeout(deadline(), self.command(args).output())
            .await
            .unwrap_or_else(|_| panic!("{args:?} hangs"))
            .unwrap()
    }

    /// Runs it to its end, with something at its standard input, which then ends.
    async fn fed(&self, args: &[&str], input: &str) -> Output {
        let mut child = self.spawn(args);
        let mut stdin = child.stdin.take().unwrap();
        let work = async {
            let writing = async move { stdin.write_all(input.as_bytes()).await.unwrap() };
            tokio::join!(writing, child.wait_with_output()).1.unwrap()
        };
        timeout(deadline(), work).await.unwrap_or_else(|_| panic!("{args:?} hangs"))
    }

    /// Runs it to its end, and says something once it has printed a line: what a process prints is lost until containerd
    /// has attached its output too, which it does after the input. Then the input is held open, as by somebody who says
    /// nothing more, or not.
    async fn told(&self, args: &[&str], input: &str, held: bool) -> Output {
        let mut child = self.spawn(args);
        let mut stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let work = async {
            let talking = async {
                let mut printed = Vec::new();
                lines.read_until(b'\n', &mut printed).await.unwrap();
                // One that has failed listens no more, and says why.
                let _ = stdin.as_mut().unwrap().write_all(input.as_bytes()).await;
                if !held {
                    stdin = None;
                }
                lines.read_to_end(&mut printed).await.unwrap();
                printed
            };
            let (stdout, output) = tokio::join!(talking, child.wait_with_output());
            Output { stdout, ..output.unwrap() }
        };
        timeout(deadline(), work).await.unwrap_or_else(|_| panic!("{args:?} hangs"))
    }

    /// What it prints; it succeeds.
    pub(crate) async fn ok(&self, args: &[&str]) -> String {
        said(args, &self.run(args).await)
    }

    /// What it prints when it is given this input; it succeeds.
    pub(crate) async fn ok_fed(&self, args: &[&str], input: &str) -> String {
        said(args, &self.fed(args, input).await)
    }

    /// What it prints when it is given this input after its first line, and the input is `held` open or ends; it succeeds.
    pub(crate) async fn ok_told(&self, args: &[&str], input: &str, held: bool) -> String {
        said(args, &self.told(args, input, held).await)
    }

    /// Runs it again and again until it succeeds and prints what is wanted.
    pub(crate) async fn until(&self, args: &[&str], wanted: impl Fn(&str) -> bool) -> String {
        let give_up = Instant::now() + deadline();
        loop {
            let output = self.run(args).await;
            let out = text(&output.stdout);
            if output.status.success() && wanted(&out) {
                return out;
            }
            assert!(Instant::now() < give_up, "{args:?}: {out}{}", text(&output.stderr));
            sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    /// Starts it, with the standard input open.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).stdin(Stdio::piped()).spawn().unwrap()
    }

    /// Runs it in a terminal of its own, which Debian's `script` makes, and gives what is shown there.
    pub(crate) async fn in_terminal(&self, args: &str) -> String {
        let mut command = Command::new("script");
        self.environment(&mut command);
        command.args(["-qefc", &format!("{} {args}", self.program.display()), "/dev/null"]);
        let output = timeout(deadline(), command.output()).await.expect("it ends").unwrap();
        said(&[args], &output)
    }

    /// Creates pods.
    pub(crate) async fn create(&self, pods: &[PodBuilder]) {
        let manifests: Vec<String> = pods.iter().map(PodBuilder::manifest).collect();
        let list = format!("{{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[{}]}}", manifests.join(","));
        self.ok_fed(&["create", "-f", "-"], &list).await;
    }

    pub(crate) async fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[args, &["-o", "json"]].concat()).await).unwrap()
    }

    /// Deletes all pods and takes everything down.
    pub(crate) async fn finish(self) {
        self.ok(&["delete", "pods", "--all", "--timeout=60s"]).await;
        self.rig.finish().await;
    }
}

fn said(args: &[&str], output: &Output) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{args:?}: {}: {out}{err}", output.status);
    out
}

async fn minor(program: &PathBuf) -> Option<u32> {
    let output = Command::new(program).args(["version", "--client", "-o", "json"]).output().await.ok()?;
    let version: Value = serde_json::from_slice(&output.stdout).ok()?;
    version["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse().ok()
}
