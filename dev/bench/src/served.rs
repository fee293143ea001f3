//! A node agent that serves its own API, on pods from manifests.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::containerd::Containerd;
use lab::node::Node;
use testkit::pod::PodBuilder;

use crate::events::{Events, Kind};
use crate::port::{Connection, Port};
use crate::process;

/// An agent at work on an empty runtime.
pub(crate) struct Served {
    pub(crate) node: Node,
    pub(crate) pid: u32,
    pub(crate) events: Events,
    pub(crate) port: Port,
    pub(crate) api: Connection,
}

impl Served {
    /// Starts `program` on the runtime, in which nothing runs. `more` is put after the configuration.
    pub(crate) async fn start(containerd: &Containerd, program: &Path, more: &str) -> Result<Self> {
        let events = Events::listen(containerd).await?;
        let port = Port::new()?;
        let configuration = port.configuration(containerd.instance().dir())?;
        let more = format!("maxPods: 1000\n{configuration}{more}");
        let mut node = Node::prepare(containerd.instance(), program, &more)?;
        node.start()?;
        let pid = node.pid().context("the agent does not run")?;
        let api = port.connect().await;
        let api = api.with_context(|| format!("the end of the agent's log:\n{}", node.log_tail()))?;
        Ok(Self { node, pid, events, port, api })
    }

    /// Starts pods, each of one container: until all of them run.
    pub(crate) async fn start_pods(&mut self, pods: &[(String, PodBuilder)]) -> Result<()> {
        let mark = self.events.mark();
        for (name, pod) in pods {
            self.node.put_manifest(&format!("{name}.json"), &pod.manifest())?;
        }
        self.events.count("all pods start", mark, Kind::Started, 2 * pods.len()).await?;
        self.node.check_alive()
    }

    /// Removes all pods: until nothing runs.
    pub(crate) async fn stop_pods(&mut self) -> Result<()> {
        self.node.remove_manifests()?;
        self.events.nothing_runs().await?;
        self.node.check_alive()
    }

    /// The CPU time that the agent has used.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        process::cpu_time(self.pid)
    }

    /// A value of the agent's `/proc/PID/status`, in KiB.
    pub(crate) fn memory_kib(&self, name: &str) -> Result<u64> {
        process::memory_kib(self.pid, name)
    }
}
