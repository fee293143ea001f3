//! A private containerd and a berth on it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use cri::{Endpoint, ExecOutput, Runtime};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use telemetry::metrics::Registry;
use testkit::containerd::{Containerd, Node, Options};
use testkit::pod::PodBuilder;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};
use types::{ContainerId, ObservedPod};

/// Whether this is the emulated machine, where everything takes ten to twenty times as long.
pub(crate) fn is_emulated() -> bool {
    std::env::var_os("NEXTEST_PROFILE").is_some_and(|profile| profile == "vm")
}

/// How long anything may take that ought to happen: far more than it takes, also in an emulated machine.
pub(crate) fn deadline() -> Duration {
    Duration::from_secs(if is_emulated() { 240 } else { 40 })
}

/// How often is asked; neither the local API nor the machine's files have watches. In an emulated machine the asking
/// would be most of the work.
fn asked_every() -> Duration {
    Duration::from_millis(if is_emulated() { 500 } else { 50 })
}

/// A command that runs until it is told to end, and then ends at once.
pub(crate) const FOREVER: [&str; 3] =
    ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 100000 & wait $!; done"];

/// The program under test; nextest tells where it is when the tests have travelled to another machine.
fn program() -> PathBuf {
    let told = ["NEXTEST_BIN_EXE_berth", "CARGO_BIN_EXE_berth"].into_iter().find_map(std::env::var_os);
    told.unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_berth"))).into()
}

/// A berth on a containerd. A test ends with [`Rig::finish`].
pub(crate) struct Rig {
    pub(crate) node: Node,
    pub(crate) containerd: Containerd,
    pub(crate) runtime: Runtime,
    dir: tempfile::TempDir,
}

impl Rig {
    /// A containerd, and a berth that runs.
    pub(crate) async fn start() -> Self {
        Self::with("", Options::default()).await
    }

    /// The same, with YAML for berth's configuration and other options of containerd.
    pub(crate) async fn with(more: &str, options: Options) -> Self {
        Self::starting(more, options, Node::start).await
    }

    /// A containerd, and a berth with an API server beside it.
    pub(crate) async fn solo() -> Self {
        Self::starting("", Options::default(), Node::start_solo).await
    }

    /// A containerd, and a berth that `start` starts.
    pub(crate) async fn starting(
        more: &str,
        options: Options,
        start: impl FnOnce(&mut Node) -> anyhow::Result<()>,
    ) -> Self {
        let dir = tempfile::Builder::new().prefix("berth-real").tempdir().unwrap();
        let containerd = Containerd::start(dir.path(), options).await.unwrap();
        let instance = containerd.instance();
        let mut node = Node::prepare(instance, &program(), more).unwrap();
        start(&mut node).unwrap();
        let registry = Registry::default();
        let runtime = Runtime::new(
            &Endpoint::at(instance.socket()),
            None,
            cri::Options::default(),
            cri::Metrics::register(&registry),
        );
        Self { node, containerd, runtime, dir }
    }

    /// The directory of everything this berth and its containerd have.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The full name of the static pod `name`.
    pub(crate) fn full(&self, name: &str) -> String {
        format!("{name}-{}", self.node.name())
    }

    /// Writes the manifest of a pod.
    pub(crate) fn put(&self, name: &str, pod: &PodBuilder) {
        self.node.put_manifest(&format!("{name}.json"), &pod.manifest()).unwrap();
    }

    /// Removes the manifest of the pod `name`.
    pub(crate) fn remove(&self, name: &str) {
        self.node.remove_manifest(&format!("{name}.json")).unwrap();
    }

    /// Waits until berth answers.
    pub(crate) async fn until_up(&self) {
        let give_up = Instant::now() + deadline();
        while self.ask("/healthz").await.is_none() {
            assert!(Instant::now() < give_up, "berth does not answer:\n{}", self.node.log_tail());
            sleep(asked_every()).await;
        }
    }

    /// GETs from the local API: the status and the body; `None` while berth does not answer.
    pub(crate) async fn ask(&self, path: &str) -> Option<(http::StatusCode, String)> {
        let stream = UnixStream::connect(self.node.socket()).await.ok()?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let connection = tokio::spawn(connection);
        let request =
            http::Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.ok()?;
        let status = answer.status();
        let body = answer.into_body().collect().await.ok()?;
        connection.abort();
        Some((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    }

    /// GETs JSON; null while berth does not answer.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ask(path).await.and_then(|(_, body)| serde_json::from_str(&body).ok()).unwrap_or_default()
    }

    /// The log of a container.
    pub(crate) async fn log(&self, pod: &str, container: &str, query: &str) -> String {
        let path = format!("/containerLogs/default/{}/{container}{query}", self.full(pod));
        let (status, body) = self.ask(&path).await.expect("berth answers");
        assert!(status.is_success(), "{path}: {status}: {body}");
        body
    }

    /// Waits until the log of a container is what is `wanted`: a container runs before it has said anything.
    pub(crate) async fn until_log(&self, pod: &str, container: &str, wanted: &str) {
        let give_up = Instant::now() + deadline();
        loop {
            let log = self.log(pod, container, "").await;
            if log == wanted {
                return;
            }
            assert!(Instant::now() < give_up, "the log of {container} of {pod} is {log:?}");
            sleep(asked_every()).await;
        }
    }

    /// The pod of the manifest `name` as the API shows it; null if it does not.
    pub(crate) async fn pod(&self, name: &str) -> Value {
        self.answered(name).await.unwrap_or_default()
    }

    /// The same; `None` while berth does not answer.
    async fn answered(&self, name: &str) -> Option<Value> {
        let (pods, full) = (self.get("/pods").await, self.full(name));
        let mut items = pods["items"].as_array()?.iter();
        Some(items.find(|pod| pod["metadata"]["name"] == full).cloned().unwrap_or_default())
    }

    /// Waits until the API shows the pod as `seen` wants it.
    pub(crate) async fn until(&mut self, name: &str, what: &str, seen: impl Fn(&Value) -> bool) -> Value {
        let give_up = Instant::now() + deadline();
        loop {
            let pod = self.answered(name).await;
            if let Some(pod) = pod.as_ref().filter(|pod| seen(pod)) {
                return pod.clone();
            }
            self.node.check_alive().unwrap();
            if Instant::now() > give_up {
                let pod = pod.unwrap_or_default();
                let why = self.get(&format!("/why?pod={name}")).await;
                panic!("not seen: {name}: {what}; the pod: {:#}\nwhy: {why:#}", pod["status"]);
            }
            sleep(asked_every()).await;
        }
    }

    /// Waits until all containers of the pod are ready.
    pub(crate) async fn until_ready(&mut self, name: &str) -> Value {
        self.until(name, "ready", is_ready).await
    }

    /// Waits until the pod has ended, and checks how.
    pub(crate) async fn until_ended(&mut self, name: &str, phase: &str) -> Value {
        let ended = |pod: &Value| pod["status"]["phase"] == "Succeeded" || pod["status"]["phase"] == "Failed";
        let pod = self.until(name, "ended", ended).await;
        assert_eq!(pod["status"]["phase"], phase, "{name}: {:#}", pod["status"]);
        pod
    }

    /// Waits until `berth why` says of the pod what is `wanted`.
    pub(crate) async fn until_why(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let give_up = Instant::now() + deadline();
        loop {
            let why = self.get(&format!("/why?pod={name}")).await;
            if wanted(&why[0]) {
                return why[0].clone();
            }
            self.node.check_alive().unwrap();
            assert!(Instant::now() < give_up, "{name}: {why:#}");
            sleep(asked_every()).await;
        }
    }

    /// What the runtime has of the pod.
    pub(crate) async fn observed(&self, name: &str) -> Option<ObservedPod> {
        let full = self.full(name);
        let pods = self.runtime.list_pods().await.unwrap();
        pods.into_iter().find(|pod| *pod.pod.name.name == *full)
    }

    /// Runs a shell command in a container.
    pub(crate) async fn run(&self, pod: &Value, container: &str, script: &str) -> ExecOutput {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        self.runtime.exec_sync(&id(pod, container), command, deadline()).await.unwrap()
    }

    /// Runs a shell command that succeeds in a container, and returns what it prints.
    pub(crate) async fn sh(&self, pod: &Value, container: &str, script: &str) -> String {
        let output = self.run(pod, container, script).await;
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.exit_code, 0, "{container}: {script}: {out}{err}");
        out
    }

    /// Waits until `seen` holds of the machine.
    pub(crate) async fn until_machine(&self, what: &str, seen: impl Fn() -> bool) {
        let give_up = Instant::now() + deadline();
        while !seen() {
            assert!(Instant::now() < give_up, "not seen: {what}");
            sleep(asked_every()).await;
        }
    }

    /// Waits until berth and the runtime have nothing of the pod, and nothing of it is on disk.
    pub(crate) async fn until_gone(&mut self, name: &str, uid: &str) {
        self.until(name, "gone", Value::is_null).await;
        let left = self.observed(name).await.filter(|pod| !pod.containers.is_empty());
        assert!(left.is_none(), "{name} is in CRI: {left:#?}\n{}", self.node.log_tail());
        let (dir, logs) = (self.node.root().join("pods").join(uid), self.logs());
        let full = format!("default_{}_{uid}", self.full(name));
        self.until_machine("no directory of the pod", || !dir.exists()).await;
        self.until_machine("no logs of the pod", || !logs.join(&full).exists()).await;
        let cgroups = || crate::machine::cgroups_naming(&uid.replace('-', "_"), uid);
        self.until_machine(&format!("no cgroup of {name}: {:?}", cgroups()), || cgroups().is_empty()).await;
        let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap().contains(uid);
        assert!(!mounts(), "a mount of {name}");
        let link = format!("{}_default_", self.full(name));
        assert!(links().iter().all(|name| !name.starts_with(&link)), "a link to a log of {name}");
    }

    /// Waits until the runtime has nothing of the pod. One that no source knows any more is stopped, and the API does not
    /// show it.
    pub(crate) async fn until_unobserved(&self, name: &str) {
        let give_up = Instant::now() + deadline();
        while let Some(left) = self.observed(name).await {
            assert!(Instant::now() < give_up, "in the runtime: {left:#?}\n{}", self.node.log_tail());
            sleep(asked_every()).await;
        }
    }

    /// The directory of pods' logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.node.root().parent().unwrap().join("logs")
    }

    /// Removes all pods, ends berth and containerd, and proves that nothing is left.
    pub(crate) async fn finish(mut self) {
        self.until_up().await;
        let uids: Vec<(String, String)> = self.get("/pods").await["items"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|pod| {
                let name = pod["metadata"]["name"].as_str().unwrap();
                let own = name.strip_suffix(&format!("-{}", self.node.name())).unwrap_or(name);
                (own.to_owned(), uid(pod))
            })
            .collect();
        self.node.remove_manifests().unwrap();
        for (name, uid) in uids {
            self.until_gone(&name, &uid).await;
        }
        assert_eq!(self.runtime.list_pods().await.unwrap(), [], "pods in the runtime");
        self.node.stop().await.unwrap();
        self.node.unmount_root().unwrap();
        self.containerd.stop().await.unwrap();
    }
}

/// The names of the links to log files.
pub(crate) fn links() -> Vec<String> {
    let entries = fs::read_dir("/var/log/containers").into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whether the condition `Ready` of a pod is true.
pub(crate) fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The status of one container of a pod.
pub(crate) fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let lists = ["initContainerStatuses", "containerStatuses"].into_iter();
    let mut all = lists.flat_map(|list| pod["status"][list].as_array().into_iter().flatten());
    all.find(|status| status["name"] == name).unwrap_or(&Value::Null)
}

/// The runtime's id of a container.
pub(crate) fn id(pod: &Value, name: &str) -> ContainerId {
    let status = container(pod, name);
    let id = status["containerID"].as_str().and_then(|id| id.strip_prefix("containerd://"));
    ContainerId::from(id.unwrap_or_else(|| panic!("no id of {name}: {:#}", pod["status"])))
}

/// A pod's UID.
pub(crate) fn uid(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().unwrap().to_owned()
}
