//! `cargo xtask demo`: `berth solo` with four pods on a private containerd, from nothing to nothing.

mod kubectl;
mod pods;

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::{sh, workspace};
use kubectl::Kubectl;
use lab::containerd::{Containerd, Instance, Options as RuntimeOptions, remove_abandoned};
use lab::leftovers::Leftovers;
use lab::node::Node;
use pods::Pods;

/// Short, because sockets are in it.
const DIR: &str = "/var/lib/berth-demo";

/// How long the pods may take to be where they should be, and to be gone.
const SETTLED_WITHIN: Duration = Duration::from_secs(180);

/// How long the API server and the node may take to be there.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How often the table is drawn.
const REDRAWN: Duration = Duration::from_millis(500);

#[derive(Args)]
pub(crate) struct Options {
    /// Leave everything running at the end, and say how to stop it.
    #[arg(long)]
    keep: bool,
    /// Stop what an earlier `--keep` left running.
    #[arg(long, conflicts_with = "keep")]
    stop: bool,
    /// Build berth with optimization: slower to build, faster to run.
    #[arg(long)]
    release: bool,
}

pub(crate) async fn run(options: &Options) -> Result<bool> {
    if !workspace::is_root() {
        bail!("the demo starts containers: run it as root");
    }
    if options.stop {
        return stop(options.release).await;
    }
    let mut build = sh::cargo(["build", "--package", "berth", "--bin", "berth"]);
    sh::run(build.args(options.release.then_some("--release")))?;
    clear()?;

    println!("demo: starting a private containerd in {DIR}");
    let containerd = Containerd::start(&Path::new(DIR).join("run"), RuntimeOptions::default()).await?;
    let version = containerd.version();
    let instance = containerd.instance();
    println!(
        "demo: containerd {}.{}, bridge {}, pods in {}",
        version.major,
        version.minor,
        instance.name(),
        instance.subnet()
    );

    let mut node = Node::prepare(instance, &program(options.release), "")?;
    let kubectl = Kubectl::of_server(&node.solo_dir())?;
    node.start_solo()?;
    let shown = tokio::select! {
        shown = show(&mut node, &kubectl) => shown,
        interrupted = tokio::signal::ctrl_c() => interrupted.context("wait for Ctrl-C").and_then(|()| bail!("interrupted")),
    };
    if options.keep && shown.is_ok() {
        containerd.keep()?;
        node.keep();
        println!(
            "demo: everything keeps running; look with\n  {}\n  kubectl get pods",
            kubectl.environment()
        );
        println!("demo: stop it with `cargo xtask demo --stop`");
        return Ok(true);
    }
    // Whatever went wrong, the machine is to be as it was.
    let taken_down = take_down(node, &kubectl, containerd).await;
    shown?;
    taken_down?;
    println!("demo: nothing is left: no process, mount, cgroup, network namespace or bridge");
    Ok(true)
}

fn program(release: bool) -> std::path::PathBuf {
    workspace::target().join(if release { "release/berth" } else { "debug/berth" })
}

/// Removes what an earlier run left.
fn clear() -> Result<()> {
    let dir = Path::new(DIR);
    if remove_abandoned(&dir.join("run"))? {
        println!("demo: took down what an earlier run had left");
    }
    if dir.exists() {
        std::fs::remove_dir_all(dir).with_context(|| format!("remove {DIR}"))?;
    }
    Ok(())
}

/// Applies the examples, waits until the pods are where they should be, and shows what they did.
async fn show(node: &mut Node, kubectl: &Kubectl) -> Result<()> {
    println!("demo: starting berth solo: an API server, and this machine as its node");
    let name = node.name().to_owned();
    kubectl.until(READY_WITHIN, &["get", "node", &name], || node.check_alive()).await?;
    kubectl.ask(&["wait", "--for=condition=Ready", "node", &name, "--timeout=60s"]).await?;
    println!("\ndemo: kubectl get nodes -o wide\n{}", kubectl.ask(&["get", "nodes", "-o", "wide"]).await?);
    apply(kubectl).await?;
    let pods = follow(node, kubectl).await?;

    let address = pods.address("web").context("the pod `web` has no address")?;
    println!("\ndemo: the page at http://{address}:8080/ says");
    println!("{}", fetch(&address).await?);
    println!("\ndemo: {}", node.command_line("logs job"));
    println!("{}", node.ask(&["logs", "job"]).await?);
    println!("\ndemo: {}", node.command_line("why crash"));
    println!("{}", node.ask(&["why", "crash"]).await?);
    Ok(())
}

fn examples() -> String {
    workspace::root().join("examples").display().to_string()
}

/// Applies the examples, of which the API server has to refuse one.
async fn apply(kubectl: &Kubectl) -> Result<()> {
    println!("\ndemo: kubectl apply -f examples");
    let output = kubectl.run(&["apply", "-f", &examples()]).await?;
    let (said, refused) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{}\n{}\n", said.trim_end(), refused.trim_end());
    if output.status.success() || !refused.contains("malformed") {
        bail!("the malformed pod was not refused");
    }
    Ok(())
}

/// Draws the table until the pods are where they should be.
async fn follow(node: &mut Node, kubectl: &Kubectl) -> Result<Pods> {
    let deadline = Instant::now() + SETTLED_WITHIN;
    let mut drawn = Drawn::default();
    loop {
        node.check_alive()?;
        let pods = Pods::parse(&kubectl.ask(&["get", "pods", "-o", "json"]).await?)?;
        drawn.draw(&kubectl.ask(&["get", "pods"]).await?, &pods);
        if pods.are_settled() {
            return Ok(pods);
        }
        if Instant::now() >= deadline {
            bail!(
                "the pods are not where they should be after {} s; berth's log is\n{}",
                SETTLED_WITHIN.as_secs(),
                node.log_tail()
            );
        }
        tokio::time::sleep(REDRAWN).await;
    }
}

/// The table on the screen.
#[derive(Default)]
struct Drawn {
    lines: usize,
    of: Option<Pods>,
}

impl Drawn {
    /// On a terminal, draws over the last table; elsewhere only what is new is worth a line.
    fn draw(&mut self, table: &str, pods: &Pods) {
        let is_news = self.of.as_ref() != Some(pods);
        if std::io::stdout().is_terminal() {
            if self.lines > 0 {
                print!("\x1b[{}A\x1b[J", self.lines);
            }
            // Without wrapping, a line of the table is a line of the screen.
            println!("\x1b[?7l{table}\x1b[?7h");
            self.lines = table.lines().count().max(1);
        } else if is_news {
            println!("{table}\n");
        }
        self.of = Some(pods.clone());
    }
}

/// Gets `/` from port 8080.
async fn fetch(address: &str) -> Result<String> {
    let answer = async {
        let mut stream = TcpStream::connect((address, 8080)).await?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = timeout(Duration::from_secs(10), answer).await.context("the web server does not answer")?;
    let answer = answer.with_context(|| format!("fetch http://{address}:8080/"))?;
    let (head, page) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
    if !head.starts_with("HTTP/1.0 200") && !head.starts_with("HTTP/1.1 200") {
        bail!("the web server answers {}", head.lines().next().unwrap_or_default());
    }
    Ok(page.trim_end().to_owned())
}

/// Lets berth end its pods, stops berth, looks what berth has left, and stops containerd.
async fn take_down(mut node: Node, kubectl: &Kubectl, containerd: Containerd) -> Result<()> {
    println!("\ndemo: kubectl delete pods --all");
    let ended = end_pods(&node, kubectl).await;
    let stopped = node.stop().await.and_then(|()| node.unmount_root());
    let left = if ended.is_ok() { after_berth(&containerd.leftovers()) } else { Ok(()) };
    let instance = containerd.instance().clone();
    let removed = containerd.stop().await;
    ended.and(stopped).and(left).and(removed)?;
    std::fs::remove_dir_all(DIR).with_context(|| format!("remove {DIR}"))?;
    let left = Leftovers::find(&instance);
    if !left.is_empty() {
        bail!("left behind:\n{left}");
    }
    Ok(())
}

async fn end_pods(node: &Node, kubectl: &Kubectl) -> Result<()> {
    let deleted = kubectl.ask(&["delete", "pods", "--all", "--timeout=120s"]).await;
    deleted.with_context(|| format!("berth's log is\n{}", node.log_tail())).map(drop)
}

/// When the pods are gone, only containerd itself runs, and none of their mounts is there.
fn after_berth(left: &Leftovers) -> Result<()> {
    let processes =
        left.processes.iter().filter(|process| !process.command.starts_with("containerd --config"));
    let processes: Vec<_> = processes.map(ToString::to_string).collect();
    if !processes.is_empty() || !left.mounts.is_empty() {
        bail!("berth has left processes {processes:?} and mounts {:?}", left.mounts);
    }
    Ok(())
}

/// Ends what `--keep` has left.
async fn stop(release: bool) -> Result<bool> {
    let dir = Path::new(DIR).join("run");
    let instance = Instance::load(&dir)?;
    if let Some(node) = instance.and_then(|instance| Node::running(&instance, &program(release))) {
        // If berth does not run any more, its pods are ended with their containerd.
        if let Err(error) = end_pods(&node, &Kubectl::of_server(&node.solo_dir())?).await {
            println!("demo: {error:#}");
        }
    }
    let found = remove_abandoned(&dir)?;
    clear()?;
    println!("demo: {}", if found { "stopped, nothing is left" } else { "there is nothing to stop" });
    Ok(true)
}
