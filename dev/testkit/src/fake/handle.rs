//! What tests hold of the fake runtime.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cri::v1;
use tokio::time::timeout;

use super::fault::{Fault, Match};
use super::listener;
use super::logs::{self, LogStream};
use super::script::{ExecAnswer, Script};
use super::serve::{EventsMode, Served};
use super::store::Store;
use crate::faults::FaultGuard;
use crate::listener::Listener;

/// A running fake runtime. Dropping it is a crash.
#[derive(Debug)]
pub struct FakeRuntime {
    pub(super) served: Served,
    socket: PathBuf,
    listener: Option<Listener>,
    _directory: tempfile::TempDir,
}

/// What a test waited for did not happen.
#[derive(Debug)]
pub struct NotSeen {
    what: String,
    deadline: Duration,
    calls: Vec<String>,
}

impl std::fmt::Display for NotSeen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not seen within {:?}: {}; the last calls: {:#?}", self.deadline, self.what, self.calls)
    }
}

impl std::error::Error for NotSeen {}

impl FakeRuntime {
    /// Starts a runtime that has nothing, can pull every image, is ready, uses cgroupfs, and has the handlers `""` and
    /// `runc`.
    pub async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("fake-cri").tempdir()?;
        let socket = directory.path().join("cri.sock");
        let served = Served::new(Store::fresh());
        let listener = Some(listener::bind(&socket, &served)?);
        Ok(Self { served, socket, listener, _directory: directory })
    }

    /// The path of its socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Its endpoint, as `containerRuntimeEndpoint` has it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Crashes: all connections break, the socket is there and nobody listens. The store stays.
    pub fn stop(&mut self) {
        self.listener = None;
    }

    /// Listens again, after a crash or with one.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop();
        self.listener = Some(listener::bind(&self.socket, &self.served)?);
        Ok(())
    }

    /// Looks at the store.
    pub fn read<T>(&self, read: impl FnOnce(&Store) -> T) -> T {
        self.served.read(read)
    }

    /// A copy of the store.
    #[must_use]
    pub fn snapshot(&self) -> Store {
        self.read(Store::clone)
    }

    /// How often a container was started.
    #[must_use]
    pub fn starts(&self, pod: &str, container: &str) -> u64 {
        self.read(|store| store.starts(pod, container))
    }

    /// How often a call was made, by its name in CRI.
    #[must_use]
    pub fn calls(&self, call: &str) -> u64 {
        self.read(|store| store.calls(call))
    }

    /// Forgets the calls and violations so far, and their counts.
    pub fn clear_journal(&self) {
        self.served.change(|store| {
            store.journal.clear();
            store.counts.clear();
            store.violations.clear();
        });
    }

    /// Waits until `seen` is true of the store, looking whenever it changes.
    pub async fn wait_for(
        &self,
        what: &str,
        deadline: Duration,
        mut seen: impl FnMut(&Store) -> bool,
    ) -> Result<(), NotSeen> {
        let mut changes = self.served.changes();
        let wait = async {
            while !self.read(&mut seen) {
                // The sender lives as long as `self`.
                let _ = changes.changed().await;
            }
        };
        timeout(deadline, wait).await.map_err(|_elapsed| {
            let calls = self.read(|store| {
                let recent = store.journal.iter().rev().take(20).rev();
                recent.map(|c| format!("{} {:?} {:?}", c.call, c.pod, c.container)).collect()
            });
            NotSeen { what: what.to_owned(), deadline, calls }
        })
    }

    /// Waits until someone listens to events.
    pub async fn wait_for_subscriber(&self, deadline: Duration) -> Result<(), NotSeen> {
        // Subscribing is followed by a change of the store: the call is recorded.
        self.wait_for("a subscriber to events", deadline, |_| self.served.event_subscribers() > 0).await
    }

    /// Puts up a fault until the guard is dropped.
    pub fn fault(&self, matches: Match, fault: Fault) -> FaultGuard {
        self.served.faults().raise(matches.clone(), matches.times, fault)
    }

    /// Makes every `call` take `latency` from now on.
    pub fn set_latency(&self, call: &'static str, latency: Duration) {
        self.served.set_latency(call, latency);
    }

    /// Ends a running container: the newest instance.
    pub fn exit_container(&self, pod: &str, container: &str, code: i32) {
        self.served.change(|store| {
            if let Some(id) = store.container(pod, container).map(|container| container.id.clone()) {
                store.exit(&id, code);
            }
        });
    }

    /// Ends a running container as the kernel does when memory runs out, or tells it late of one that was killed.
    pub fn oom_kill_container(&self, pod: &str, container: &str) {
        self.served.change(|store| {
            if let Some(id) = store.container(pod, container).map(|container| container.id.clone()) {
                store.out_of_memory(&id);
            }
        });
    }

    /// Kills the newest sandbox of a pod, with all that runs in it.
    pub fn kill_sandbox(&self, pod: &str) {
        self.served.change(|store| {
            if let Some(id) = store.sandboxes(pod).first().map(|sandbox| sandbox.id.clone()) {
                store.stop_pod_sandbox(&id);
            }
        });
    }

    /// Sets how the container `name` behaves, in the pod `pod` or in every pod that has no script of its own.
    pub fn script(&self, pod: Option<&str>, container: &str, script: Script) {
        let key = (pod.map(str::to_owned), container.to_owned());
        self.served.change(|store| store.scripts.insert(key, script));
    }

    /// Sets what `command` does in every container.
    pub fn on_exec(&self, command: &[&str], answer: ExecAnswer) {
        let command = command.iter().map(ToString::to_string).collect();
        self.served.change(|store| store.exec_answers.insert(command, answer));
    }

    /// Puts an image in the store, as if it had been pulled.
    pub fn add_image(&self, name: &str, size: u64, pinned: bool) {
        self.served.change(|store| store.add_image(name, size, pinned));
    }

    /// Lets only these images be pulled.
    pub fn set_pullable(&self, images: &[&str]) {
        let images: BTreeSet<_> = images.iter().map(ToString::to_string).collect();
        self.served.change(|store| store.pullable = Some(images));
    }

    /// Sets the condition `RuntimeReady`.
    pub fn set_runtime_ready(&self, ready: bool, reason: &str, message: &str) {
        self.set_condition("RuntimeReady", ready, reason, message);
    }

    /// Sets the condition `NetworkReady`.
    pub fn set_network_ready(&self, ready: bool, reason: &str, message: &str) {
        self.set_condition("NetworkReady", ready, reason, message);
    }

    fn set_condition(&self, name: &'static str, status: bool, reason: &str, message: &str) {
        let condition = v1::RuntimeCondition {
            r#type: name.to_owned(),
            status,
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        self.served.change(|store| store.conditions.insert(name, condition));
    }

    /// Sets the cgroup driver that `RuntimeConfig` tells; with `None` it does not know the call.
    pub fn set_cgroup_driver(&self, driver: Option<v1::CgroupDriver>) {
        self.served.change(|store| store.cgroup_driver = driver);
    }

    /// Sets the image of sandboxes that the runtime's configuration names, as a verbose `Status` tells it.
    pub fn set_sandbox_image(&self, image: &str) {
        self.served.change(|store| store.sandbox_image = Some(image.to_owned()));
    }

    /// Sets the runtime's handlers.
    pub fn set_handlers(&self, handlers: Vec<v1::RuntimeHandler>) {
        self.served.change(|store| store.handlers = handlers);
    }

    /// Sets the address before `/exec/…`, `/attach/…` and `/portforward/…` in the URLs of streams.
    pub fn set_streaming_url(&self, base: &str) {
        let base = base.trim_end_matches('/').to_owned();
        self.served.change(|store| store.streaming_url = base);
    }

    /// Writes lines to the log file of a container's newest instance.
    pub fn write_log(&self, pod: &str, container: &str, stream: LogStream, text: &str) -> anyhow::Result<()> {
        let path = self.read(|store| store.container(pod, container).map(|c| c.log_path.clone()));
        let path = path.ok_or_else(|| anyhow::anyhow!("pod {pod} has no container {container}"))?;
        logs::append(&path, "2026-01-02T03:04:05.678901234Z", stream, text)?;
        Ok(())
    }

    /// Breaks all event streams with an error. A new one works.
    pub fn events_die(&self) {
        self.served.deaths().send_modify(|deaths| *deaths += 1);
    }

    /// From now on event streams stay open and say nothing; what happens meanwhile is lost to them.
    pub fn events_silent(&self) {
        self.served.events_mode().send_replace(EventsMode::Silent);
    }

    /// Events are sent again.
    pub fn events_resume(&self) {
        self.served.events_mode().send_replace(EventsMode::On);
    }

    /// The runtime does not know the call `GetContainerEvents`; streams that are open die.
    pub fn events_unimplemented(&self) {
        self.served.events_mode().send_replace(EventsMode::Unimplemented);
        self.events_die();
    }

    /// The `:authority` of the last call.
    #[must_use]
    pub fn authority(&self) -> Option<String> {
        self.served.authority()
    }
}
