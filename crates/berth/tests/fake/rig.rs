//! A berth of the test's own: its directories, its process, its runtime.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::fake::{FakeRuntime, Store};
use testkit::pod::PodBuilder;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take that ought to happen: far more than it takes on a machine that is busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);
/// How often the local API is asked; it has no watches.
const ASKED_EVERY: Duration = Duration::from_millis(10);
/// How much of berth's log a failed test shows, in bytes.
const SHOWN_LOG: usize = 8 << 10;

/// The name of the pod of the manifest `name` on this node.
pub(crate) fn full(name: &str) -> String {
    format!("{name}-node")
}

/// A berth on a fake runtime. Dropping it ends both and leaves nothing.
pub(crate) struct Rig {
    pub(crate) runtime: FakeRuntime,
    dir: tempfile::TempDir,
    berth: Option<Child>,
    /// More flags.
    pub(crate) flags: Vec<String>,
    /// More environment variables.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// A command that prepares its process and becomes berth.
    pub(crate) under: &'static [&'static str],
}

impl Rig {
    /// A runtime and a berth that runs.
    pub(crate) async fn start() -> Self {
        let mut rig = Self::prepare("").await;
        rig.launch();
        rig
    }

    /// A runtime, and a berth that does not run yet. `more` is YAML behind the fields that every such berth needs.
    pub(crate) async fn prepare(more: &str) -> Self {
        let runtime = FakeRuntime::start().await.unwrap();
        let dir = tempfile::Builder::new().prefix("berth-fake").tempdir().unwrap();
        let rig = Self { runtime, dir, berth: None, flags: Vec::new(), environment: Vec::new(), under: &[] };
        for made in [rig.manifests(), rig.root(), rig.logs()] {
            fs::create_dir_all(made).unwrap();
        }
        // A field may be said once.
        let server = if more.contains("enableServer:") { "" } else { "enableServer: false\n" };
        let config = format!(
            "apiVersion: kubelet.config.k8s.io/v1beta1\n\
             kind: KubeletConfiguration\n\
             containerRuntimeEndpoint: {endpoint}\n\
             staticPodPath: {manifests}\n\
             podLogsDir: {logs}\n\
             cgroupsPerQOS: false\n\
             enforceNodeAllocatable: []\n\
             failCgroupV1: false\n\
             failSwapOn: false\n\
             healthzPort: 0\n\
             serializeImagePulls: false\n\
             registryPullQPS: 0\n\
             fileCheckFrequency: 1s\n\
             {server}{more}",
            endpoint = rig.runtime.endpoint(),
            manifests = rig.manifests().display(),
            logs = rig.logs().display(),
        );
        fs::write(rig.dir.path().join("config.yaml"), config).unwrap();
        rig
    }

    /// The manifest directory.
    pub(crate) fn manifests(&self) -> PathBuf {
        self.dir.path().join("manifests")
    }

    /// berth's root directory.
    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// The directory of pod logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.path().join("logs")
    }

    /// A file beside the configuration.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("berth.log")
    }

    /// Removes what berth has logged so far.
    pub(crate) fn forget_log(&self) {
        fs::remove_file(self.log()).unwrap();
    }

    /// Starts berth, or starts it again.
    pub(crate) fn launch(&mut self) {
        self.launch_as(&[]);
    }

    /// Starts berth with these arguments before its flags.
    pub(crate) fn launch_as(&mut self, command: &[&str]) {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let mut program = self.under.iter().chain(&[env!("CARGO_BIN_EXE_berth")]);
        let child = Command::new(program.next().expect("berth at least"))
            .args(program)
            .args(command)
            .arg(format!("--config={}", self.dir.path().join("config.yaml").display()))
            .arg(format!("--root-dir={}", self.root().display()))
            .args(["--hostname-override=node", "-v=4"])
            .args(&self.flags)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.berth = Some(child);
    }

    /// The number of berth's process.
    pub(crate) fn pid(&self) -> u32 {
        self.berth.as_ref().expect("berth was started").id()
    }

    /// Runs `ip` in the network namespace of berth.
    pub(crate) fn ip(&self, arguments: &str) {
        let berth = self.pid().to_string();
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--net", "--target", &berth, "ip"]).args(arguments.split(' '));
        assert!(nsenter.status().unwrap().success(), "ip {arguments}");
    }

    /// Kills berth as a crash would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.berth.take().expect("berth was started");
        assert!(child.try_wait().unwrap().is_none(), "berth ended by itself");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Tells berth to end, as systemd does.
    pub(crate) fn tell_to_end(&self) {
        let berth = self.berth.as_ref().expect("berth was started");
        kill_process(Pid::from_child(berth), Signal::TERM).unwrap();
    }

    /// Tells berth to end, and waits until it has.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.tell_to_end();
        self.ended().await
    }

    /// Waits until berth ends.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut child = self.berth.take().expect("berth was started");
        let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
        timeout(DEADLINE, ended).await.expect("berth ends").unwrap()
    }

    /// Waits until berth has written `text` to its log.
    pub(crate) async fn until_log(&self, text: &str) {
        let give_up = Instant::now() + DEADLINE;
        while !fs::read_to_string(self.log()).unwrap_or_default().contains(text) {
            assert!(Instant::now() < give_up, "not in berth's log: {text}");
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Runs a command of berth's on this node, and gives what it prints.
    pub(crate) async fn command(&self, args: &[&str]) -> String {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_berth"));
        command.args(args).arg("--socket").arg(self.root().join("berth.sock"));
        let output = timeout(DEADLINE, command.output()).await.expect("the command ends").unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {}: {errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes a manifest as its authors should: at once.
    pub(crate) fn put(&self, pod: &PodBuilder) {
        let manifest = pod.manifest();
        let value: Value = serde_json::from_str(&manifest).unwrap();
        let name = value["metadata"]["name"].as_str().unwrap();
        self.put_file(&format!("{name}.json"), manifest);
    }

    /// Writes a file of that name into the manifest directory.
    pub(crate) fn put_file(&self, name: &str, content: impl AsRef<[u8]>) {
        let hidden = self.manifests().join(format!(".{name}"));
        fs::write(&hidden, content).unwrap();
        fs::rename(hidden, self.manifests().join(name)).unwrap();
    }

    /// Removes the manifest of the pod `name`.
    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.manifests().join(format!("{name}.json"))).unwrap();
    }

    /// Asks the local API; `None` while berth does not answer. Any status but 200 is an answer of text.
    pub(crate) async fn ask(&self, path: &str) -> Option<String> {
        let ask = async {
            let stream = UnixStream::connect(self.root().join("berth.sock")).await.ok()?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
            let connection = tokio::spawn(connection);
            let request =
                http::Request::get(path).header("host", "localhost").body(Empty::<Bytes>::new()).unwrap();
            let answer = sender.send_request(request).await.ok()?.into_body().collect().await.ok()?;
            connection.abort();
            Some(String::from_utf8_lossy(&answer.to_bytes()).into_owned())
        };
        timeout(DEADLINE, ask).await.expect("the local API answers")
    }

    /// Asks the local API for JSON; null while berth does not answer.
    pub(crate) async fn get(&self, path: &str) -> Value {
        self.ask(path).await.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// The pod of the manifest `name` as the API shows it; null if it does not.
    pub(crate) async fn pod(&self, name: &str) -> Value {
        let pods = self.get("/pods").await;
        let items = pods["items"].as_array().cloned().unwrap_or_default();
        items.into_iter().find(|pod| pod["metadata"]["name"] == full(name)).unwrap_or_default()
    }

    /// What `berth why` says of the pod of the manifest `name`.
    pub(crate) async fn why(&self, name: &str) -> Value {
        self.get(&format!("/why?pod={name}")).await.get_mut(0).map(Value::take).unwrap_or_default()
    }

    /// Waits until the API shows the pod as `seen` wants it.
    pub(crate) async fn until_pod(&self, name: &str, what: &str, seen: impl Fn(&Value) -> bool) -> Value {
        self.until(&format!("{name}: {what}"), DEADLINE, || self.pod(name), seen).await
    }

    /// Waits until `berth why` says of the pod what `seen` wants.
    pub(crate) async fn until_why(&self, name: &str, what: &str, seen: impl Fn(&Value) -> bool) -> Value {
        self.until(&format!("why {name}: {what}"), DEADLINE, || self.why(name), seen).await
    }

    /// Waits until the API says of manifests what `seen` wants.
    pub(crate) async fn until_problems(&self, what: &str, seen: impl Fn(&Value) -> bool) -> Value {
        self.until(&format!("problems: {what}"), DEADLINE, || self.get("/problems"), seen).await
    }

    /// Waits until the pod runs and is ready.
    pub(crate) async fn until_ready(&self, name: &str) -> Value {
        self.until_pod(name, "ready", is_ready).await
    }

    /// Waits until the pod's phase is `phase`.
    pub(crate) async fn until_phase(&self, name: &str, phase: &str) -> Value {
        self.until_pod(name, phase, |pod| pod["status"]["phase"] == phase).await
    }

    /// Waits until neither berth nor the runtime has anything of the pod.
    pub(crate) async fn until_gone(&self, name: &str) {
        self.until_pod(name, "gone", Value::is_null).await;
        self.until_store(&format!("{name}: gone from the runtime"), |store| {
            store.sandboxes(&full(name)).is_empty() && store.containers(&full(name)).is_empty()
        })
        .await;
    }

    /// Waits until the runtime is as `seen` wants it.
    pub(crate) async fn until_store(&self, what: &str, seen: impl FnMut(&Store) -> bool) {
        if let Err(error) = self.runtime.wait_for(what, DEADLINE, seen).await {
            panic!("{error}");
        }
    }

    /// Asks until the answer is as `seen` wants it.
    pub(crate) async fn until<F: Future<Output = Value>>(
        &self,
        what: &str,
        deadline: Duration,
        mut ask: impl FnMut() -> F,
        seen: impl Fn(&Value) -> bool,
    ) -> Value {
        let give_up = Instant::now() + deadline;
        loop {
            let answer = ask().await;
            if seen(&answer) {
                return answer;
            }
            assert!(
                Instant::now() < give_up,
                "not seen within {deadline:?}: {what}; the last answer: {answer:#}"
            );
            sleep(ASKED_EVERY).await;
        }
    }

    /// Fails if the runtime was asked for anything that no kubelet should ask for.
    pub(crate) fn assert_proper(&self) {
        self.runtime.read(|store| assert_eq!(store.violations(), [""; 0]));
    }

    /// What was done to the pod in the runtime.
    pub(crate) fn journal(&self, name: &str) -> Vec<String> {
        self.runtime.read(|store| store.journal_of(&full(name)))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(mut child) = self.berth.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = fs::read(self.log()).unwrap_or_default();
            let tail = &log[log.len().saturating_sub(SHOWN_LOG)..];
            eprintln!("the end of berth's log:\n{}", String::from_utf8_lossy(tail));
        }
        unmount_below(self.dir.path());
        unlink_logs(self.dir.path());
    }
}

/// Takes down the mounts that berth left: it leaves its own when it is killed.
fn unmount_below(dir: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let mut points: Vec<_> = points.filter(|point| point.starts_with(dir)).collect();
    points.reverse();
    for point in points {
        let _ = unmount(point, UnmountFlags::DETACH);
    }
}

/// Removes the links to logs that pods had which were still there at the end.
fn unlink_logs(dir: &Path) {
    for entry in fs::read_dir("/var/log/containers").into_iter().flatten().flatten() {
        if fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(dir)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether the condition `Ready` of a pod is true.
pub(crate) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready")["status"] == "True"
}

/// One condition of a pod.
pub(crate) fn condition<'a>(pod: &'a Value, kind: &str) -> &'a Value {
    let conditions = pod["status"]["conditions"].as_array().map_or(&[][..], Vec::as_slice);
    conditions.iter().find(|condition| condition["type"] == kind).unwrap_or(&Value::Null)
}

/// The status of one container of a pod.
pub(crate) fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let lists = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"].into_iter();
    let mut all = lists.flat_map(|list| pod["status"][list].as_array().into_iter().flatten());
    all.find(|status| status["name"] == name).unwrap_or(&Value::Null)
}
