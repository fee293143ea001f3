//! Node agents as nodes of an API server: that of `berth solo`, and where `KUBEBUILDER_ASSETS` names a directory with
//! them, `kube-apiserver` on `etcd`. The clock is a watch of the API server: what a user can see, and when.

mod cluster;
pub(crate) mod figures;
mod seen;
pub(crate) mod table;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::apiserver::Kind;
use lab::containerd::Containerd;
use lab::node::Node;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::agent::CONFIGURATION;
use crate::calls;
use crate::events::{Event, Events, Kind as EventKind};
use crate::figures::{Burst, Spread, ms};
use crate::responder::Responder;
use crate::scale::Scale;
use crate::{pods, process};
use cluster::Cluster;
use figures::{Cpu, Member, Process};
use seen::State;

/// The ConfigMap that is changed, its key, and the volume that shows it.
const SETTINGS: &str = "settings";
const KEY: &str = "level";

/// How often the file is looked at, and how long it may take to change.
const FILE_LOOKED_AT_EVERY: Duration = Duration::from_millis(2);
const FILE_CHANGES_WITHIN: Duration = Duration::from_secs(240);

/// The API servers that there are to measure on. Solo's is that of `berth`.
pub(crate) fn servers(berth: &Path) -> Vec<Kind> {
    std::iter::once(Kind::Solo(berth.to_owned())).chain(Kind::of_environment()).collect()
}

/// Measures `program` as the node of an API server, on the runtime, in which nothing runs.
pub(crate) async fn measure(
    containerd: &Containerd,
    server: &Kind,
    program: &Path,
    scale: &Scale,
) -> Result<Member> {
    let events = Events::listen(containerd).await?;
    let cluster = Cluster::start(server, containerd.instance()).await?;
    let mut node = Node::prepare(containerd.instance(), program, CONFIGURATION)?;
    node.start_in_cluster(&cluster.kubeconfig())?;
    let pid = node.pid().context("the agent does not run")?;
    let mut bench = Bench { cluster, node, pid, events, scale };
    let measured = bench.measure(server, program).await;
    measured.with_context(|| format!("the end of the agent's log:\n{}", bench.node.log_tail()))
}

/// An agent at work as a node.
struct Bench<'a> {
    cluster: Cluster,
    node: Node,
    pid: u32,
    events: Events,
    scale: &'a Scale,
}

/// CPU times: the agent's, and those of the server's processes.
struct Times {
    at: Instant,
    agent: Duration,
    servers: Vec<Duration>,
}

impl Bench<'_> {
    async fn measure(&mut self, server: &Kind, program: &Path) -> Result<Member> {
        sleep(self.scale.settle).await;
        self.node.check_alive()?;
        let rss_fresh_kib = process::memory_kib(self.pid, "VmRSS")?;
        // The first pod of all pays for what is made once; it also shows that the agent is up.
        self.start_one("warm-up").await?;
        self.delete_one("warm-up").await?;
        sleep(self.scale.settle).await;
        let rss_empty_kib = process::memory_kib(self.pid, "VmRSS")?;

        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        for number in 0..self.scale.single_pods {
            let name = pods::name(number);
            starts.push(self.start_one(&name).await?.0);
            ends.push(self.delete_one(&name).await?);
        }
        let exits = self.exits().await?;
        let (unready, ready_again) = self.turns().await?;
        let changes = self.changes().await?;

        let (before, asked_before) = (self.times()?, self.cluster.requests()?);
        let (created_ms, ready) = self.start_all().await?;
        let started = self.times()?;
        sleep(self.scale.settle).await;
        let asked_full = self.cluster.requests()?;
        let rss_full_kib = process::memory_kib(self.pid, "VmRSS")?;
        let threads = process::threads(self.pid);
        let idle_from = self.times()?;
        sleep(self.scale.idle_node).await;
        let idle_to = self.times()?;
        let asked_idling = self.cluster.requests()?;
        let servers_rss = self.servers_rss()?;

        let before_end = self.times()?;
        let gone = self.delete_all().await?;
        let ended = self.times()?;
        sleep(self.scale.settle).await;
        let asked_after = self.cluster.requests()?;

        let idled = (idle_to.at - idle_from.at).as_secs_f64();
        let cpu = |of: &dyn Fn(&Times) -> Duration| Cpu {
            ready_ms: ms(of(&started).saturating_sub(of(&before))),
            gone_ms: ms(of(&ended).saturating_sub(of(&before_end))),
            idle_millicores: ms(of(&idle_to).saturating_sub(of(&idle_from))) / idled,
        };
        let of_server =
            |number: usize| move |times: &Times| times.servers.get(number).copied().unwrap_or_default();
        #[allow(clippy::cast_precision_loss, reason = "a number of pods")]
        let pods = self.scale.pods as f64;
        let figures = Member {
            agent: program.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            server: server.name(),
            single_ready: Spread::of(starts),
            single_gone: Spread::of(ends),
            exit_seen: Spread::of(exits),
            unready_seen: Spread::of(unready),
            ready_seen: Spread::of(ready_again),
            change_in_file: Spread::of(changes),
            created_ms,
            ready,
            gone,
            rss_fresh_kib,
            rss_empty_kib,
            rss_full_kib,
            rss_peak_kib: process::memory_kib(self.pid, "VmHWM")?,
            threads,
            cpu: cpu(&|times| times.agent),
            servers: servers_rss
                .into_iter()
                .enumerate()
                .map(|(number, (name, rss_kib))| Process { name, rss_kib, cpu: cpu(&of_server(number)) })
                .collect(),
            ready_requests_per_pod: calls::per(&asked_before, &asked_full, pods),
            gone_requests_per_pod: calls::per(&asked_idling, &asked_after, pods),
            idle_requests_per_minute: calls::per(&asked_full, &asked_idling, idled / 60.0),
        };
        self.node.stop().await?;
        Ok(figures)
    }

    fn times(&self) -> Result<Times> {
        let (agent, servers) = (process::cpu_time(self.pid)?, self.cluster.cpu_times()?);
        Ok(Times { at: Instant::now(), agent, servers })
    }

    fn servers_rss(&self) -> Result<Vec<(&'static str, u64)>> {
        let processes = self.cluster.processes().into_iter();
        processes.map(|(name, pid)| Ok((name, process::memory_kib(pid, "VmRSS")?))).collect()
    }

    /// Creates a pod on an empty node: until it is seen ready, and its container's process.
    async fn start_one(&mut self, name: &str) -> Result<(Duration, Event)> {
        self.node.check_alive()?;
        let pod = self.cluster.pod(pods::plain(name))?;
        let (mark, seen) = (self.events.mark(), self.cluster.seen.mark());
        let begun = Instant::now();
        self.cluster.create(&pod).await?;
        let ready = self.cluster.seen.until(seen, name, State::Ready).await? - begun;
        let started = self.events.count("a pod starts", mark, EventKind::Started, 2).await?.pop();
        Ok((ready, started.context("no event")?))
    }

    /// Deletes the one pod: until it is seen to be gone.
    async fn delete_one(&mut self, name: &str) -> Result<Duration> {
        self.node.check_alive()?;
        let seen = self.cluster.seen.mark();
        let begun = Instant::now();
        self.cluster.delete(name).await?;
        Ok(self.cluster.seen.until(seen, name, State::Gone).await? - begun)
    }

    /// Kills containers' processes: until that is seen.
    async fn exits(&mut self) -> Result<Vec<Duration>> {
        let mut exits = Vec::new();
        for number in 0..self.scale.exits {
            let name = format!("exit-{number}");
            let (_, process) = self.start_one(&name).await?;
            // Whatever the agent does every second is not to be met at the same point each time.
            sleep(Duration::from_millis(300 + (number as u64 * 367) % 1000)).await;
            let (mark, seen) = (self.events.mark(), self.cluster.seen.mark());
            let begun = Instant::now();
            let pid = Pid::from_raw(process.pid).context("the event names no process")?;
            kill_process(pid, Signal::KILL).context("kill the container's process")?;
            exits.push(self.cluster.seen.until(seen, &name, State::Ended).await? - begun);
            self.events.count("the container runs again", mark, EventKind::Started, 1).await?;
            self.delete_one(&name).await?;
        }
        Ok(exits)
    }

    /// Has a readiness probe fail and succeed again: until each is seen, from the answer that the probe was given.
    async fn turns(&mut self) -> Result<(Vec<Duration>, Vec<Duration>)> {
        let responder = Responder::start().await?;
        let pod = self.cluster.pod(pods::asked("turns", "readinessProbe", responder.port()))?;
        let seen = self.cluster.seen.mark();
        self.cluster.create(&pod).await?;
        self.cluster.seen.until(seen, "turns", State::Ready).await?;
        let (mut unready, mut ready) = (Vec::new(), Vec::new());
        for _ in 0..self.scale.turns {
            for (is_well, state, times) in
                [(false, State::Waiting, &mut unready), (true, State::Ready, &mut ready)]
            {
                let seen = self.cluster.seen.mark();
                responder.say(is_well);
                let answered = responder.answered().await?;
                times.push(self.cluster.seen.until(seen, "turns", state).await? - answered);
            }
        }
        self.delete_one("turns").await?;
        Ok((unready, ready))
    }

    /// Changes a ConfigMap that a pod has as a volume: until the file in the volume has changed.
    async fn changes(&mut self) -> Result<Vec<Duration>> {
        let value = |number: usize| format!("value {number}");
        self.cluster.create_config_map(SETTINGS, KEY, &value(0)).await?;
        let volume = json!({"name": SETTINGS, "configMap": {"name": SETTINGS}});
        let pod = self.cluster.pod(pods::reader("reader", &volume))?;
        let seen = self.cluster.seen.mark();
        let uid = self.cluster.create(&pod).await?.metadata.uid.context("the pod has no UID")?;
        self.cluster.seen.until(seen, "reader", State::Ready).await?;
        let volume = format!("pods/{uid}/volumes/kubernetes.io~configmap/{SETTINGS}");
        let file = self.node.root().join(volume).join(KEY);
        let mut changes = Vec::new();
        for number in 1..=self.scale.changes {
            sleep(self.scale.settle).await;
            let begun = Instant::now();
            self.cluster.change_config_map(SETTINGS, KEY, &value(number)).await?;
            until_file(&file, &value(number)).await?;
            changes.push(begun.elapsed());
        }
        self.delete_one("reader").await?;
        Ok(changes)
    }

    /// Creates all pods: until the server has taken them, and until each is seen ready.
    async fn start_all(&mut self) -> Result<(f64, Burst)> {
        let names = (0..self.scale.pods).map(pods::name);
        let pods = names.map(|name| self.cluster.pod(pods::plain(&name))).collect::<Result<Vec<_>>>()?;
        let seen = self.cluster.seen.mark();
        let begun = Instant::now();
        let created = async { self.cluster.create_all(&pods).await.map(|()| ms(begun.elapsed())) };
        let ready = self.cluster.seen.until_all(seen, pods.len(), State::Ready);
        let (created, ready) = tokio::try_join!(created, ready)?;
        self.node.check_alive()?;
        Ok((created, Burst::of(ready.into_iter().map(|at| at - begun).collect())))
    }

    async fn delete_all(&mut self) -> Result<Burst> {
        let names: Vec<_> = (0..self.scale.pods).map(pods::name).collect();
        let seen = self.cluster.seen.mark();
        let begun = Instant::now();
        let gone = self.cluster.seen.until_all(seen, names.len(), State::Gone);
        let ((), gone) = tokio::try_join!(self.cluster.delete_all(&names), gone)?;
        self.node.check_alive()?;
        Ok(Burst::of(gone.into_iter().map(|at| at - begun).collect()))
    }
}

async fn until_file(file: &Path, wanted: &str) -> Result<()> {
    let deadline = Instant::now() + FILE_CHANGES_WITHIN;
    while std::fs::read_to_string(file).ok().as_deref() != Some(wanted) {
        if Instant::now() > deadline {
            bail!("{} has not changed within {} s", file.display(), FILE_CHANGES_WITHIN.as_secs());
        }
        sleep(FILE_LOOKED_AT_EVERY).await;
    }
    Ok(())
}
