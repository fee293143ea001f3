//! A node agent, measured from the outside on manifests that are dropped into its directory; and, of berth, what it
//! shows of them itself.

mod shown;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use lab::containerd::Containerd;
use lab::node::Node;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::calls::{self, Calls};
use crate::events::{Event, Events, Kind};
use crate::figures::{Agent, Burst, Spread, millicores, ms};
use crate::scale::Scale;
use crate::{pods, process};
use shown::Shown;

/// What a kubelet needs beside what every node of the lab has: nobody is asked who may do what.
pub(crate) const CONFIGURATION: &str = "maxPods: 1000\n\
    authentication: {webhook: {enabled: false}}\n\
    authorization: {mode: AlwaysAllow}\n";

/// How long containers of pods that are gone may stay in the runtime. Kubernetes' kubelet collects them once a minute.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// An agent at work on an empty runtime.
struct Bench<'a> {
    node: Node,
    pid: u32,
    events: Events,
    shown: Option<Shown>,
    scale: &'a Scale,
}

/// Measures `program` on the runtime, in which nothing runs.
pub(crate) async fn measure(containerd: &Containerd, program: &Path, scale: &Scale) -> Result<Agent> {
    let events = Events::listen(containerd).await?;
    let mut node = Node::prepare(containerd.instance(), program, CONFIGURATION)?;
    node.start()?;
    let pid = node.pid().context("the agent does not run")?;
    let mut bench = Bench { node, pid, events, shown: None, scale };
    let measured = bench.measure(containerd, program).await;
    measured.with_context(|| format!("the end of the agent's log:\n{}", bench.node.log_tail()))
}

impl Bench<'_> {
    async fn measure(&mut self, containerd: &Containerd, program: &Path) -> Result<Agent> {
        sleep(self.scale.settle).await;
        self.node.check_alive()?;
        let rss_fresh_kib = process::memory_kib(self.pid, "VmRSS")?;
        // The first pod of all pays for what is made once; it also shows that the agent is up.
        self.start_one("warm-up").await?;
        self.shown = Shown::of(&self.node.socket());
        self.stop_one("warm-up").await?;
        sleep(self.scale.settle).await;
        let rss_empty_kib = process::memory_kib(self.pid, "VmRSS")?;

        let (mut starts, mut ready) = (Vec::new(), Vec::new());
        let (mut stops, mut removals) = (Vec::new(), Vec::new());
        for number in 0..self.scale.single_pods {
            let name = pods::name(number);
            let (started, shown, _) = self.start_one(&name).await?;
            starts.push(started);
            ready.extend(shown);
            let (stopped, gone) = self.stop_one(&name).await?;
            stops.push(stopped);
            removals.extend(gone);
        }
        let (restarts, exits) = self.exits().await?;

        let (before, cpu) = (self.calls().await, process::cpu_time(self.pid)?);
        let (start, shown_ready) = self.start_all(containerd).await?;
        let start_cpu = process::cpu_time(self.pid)? - cpu;
        sleep(self.scale.settle).await;
        let full = self.calls().await;
        let rss_full_kib = process::memory_kib(self.pid, "VmRSS")?;
        let (busy, begun) = (process::cpu_time(self.pid)?, Instant::now());
        sleep(self.scale.idle).await;
        let used = process::cpu_time(self.pid)? - busy;
        let idled = begun.elapsed();
        let after_idling = self.calls().await;
        let threads = process::threads(self.pid);
        let cpu = process::cpu_time(self.pid)?;
        let (stop, gone_ms) = self.stop_all().await?;
        let stop_cpu = process::cpu_time(self.pid)? - cpu;
        let after = self.calls().await;
        #[allow(clippy::cast_precision_loss, reason = "a number of pods")]
        let pods = self.scale.pods as f64;
        let figures = Agent {
            name: program.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            single_start: Spread::of(starts),
            shown_single_ready: Spread::of(ready),
            exit_to_restart: Spread::of(restarts),
            shown_exit: Spread::of(exits),
            single_stop: Spread::of(stops),
            single_gone: Spread::of(removals),
            start,
            shown_ready,
            stop,
            gone_ms,
            rss_fresh_kib,
            rss_empty_kib,
            rss_full_kib,
            rss_peak_kib: process::memory_kib(self.pid, "VmHWM")?,
            threads,
            idle_millicores: millicores(used, idled),
            start_cpu_ms: ms(start_cpu),
            stop_cpu_ms: ms(stop_cpu),
            calls_per_pod: calls::per(&before, &full, pods),
            stop_calls_per_pod: calls::per(&after_idling, &after, pods),
            idle_calls_per_second: calls::per(&full, &after_idling, idled.as_secs_f64()),
        };
        self.node.stop().await?;
        Ok(figures)
    }

    async fn calls(&self) -> Calls {
        match &self.shown {
            Some(shown) => shown.calls().await.unwrap_or_default(),
            None => Calls::default(),
        }
    }

    fn file(name: &str) -> String {
        format!("{name}.json")
    }

    /// Starts a pod in an empty runtime: until its container's process runs, until the agent shows it ready, and the
    /// process.
    async fn start_one(&mut self, name: &str) -> Result<(Duration, Option<Duration>, Event)> {
        self.node.check_alive()?;
        let mark = self.events.mark();
        let begun = Instant::now();
        self.node.put_manifest(&Self::file(name), &pods::manifest(name))?;
        let started = self.events.count("a pod starts", mark, Kind::Started, 2);
        let ready = async {
            match &self.shown {
                Some(shown) => shown.until(shown::is_ready).await.map(Some),
                None => Ok(None),
            }
        };
        let (started, ready) = tokio::join!(started, ready);
        let event = started?.pop().context("no event")?;
        Ok((event.at - begun, ready?.map(|at| at - begun), event))
    }

    /// Removes the one pod: until nothing runs, and until the runtime has forgotten it unless the agent leaves that
    /// for later.
    async fn stop_one(&mut self, name: &str) -> Result<(Duration, Option<Duration>)> {
        self.node.check_alive()?;
        let begun = Instant::now();
        self.node.remove_manifest(&Self::file(name))?;
        let stopped = self.events.nothing_runs().await? - begun;
        let gone = tokio::time::timeout(GONE_WITHIN, self.events.nothing_exists()).await;
        Ok((stopped, gone.ok().transpose()?.map(|at| at - begun)))
    }

    /// Kills containers' processes: until the successor is created, and until the agent shows it.
    async fn exits(&mut self) -> Result<(Vec<Duration>, Vec<Duration>)> {
        let (mut restarts, mut exits) = (Vec::new(), Vec::new());
        for number in 0..self.scale.exits {
            let name = format!("exit-{number}");
            let (.., process) = self.start_one(&name).await?;
            // Whatever the agent does every second is not to be met at the same point each time.
            sleep(Duration::from_millis(300 + (number as u64 * 367) % 1000)).await;
            let mark = self.events.mark();
            let begun = Instant::now();
            let pid = Pid::from_raw(process.pid).context("the event names no process")?;
            kill_process(pid, Signal::KILL).context("kill the container's process")?;
            let created = self.events.count("a container is restarted", mark, Kind::Created, 1);
            let shown = async {
                match &self.shown {
                    Some(shown) => shown.until(shown::has_ended).await.map(Some),
                    None => Ok(None),
                }
            };
            let (created, shown) = tokio::join!(created, shown);
            restarts.push(created?[0].at - begun);
            exits.extend(shown?.map(|at| at - begun));
            self.events.count("the container runs again", mark, Kind::Started, 1).await?;
            self.stop_one(&name).await?;
        }
        Ok((restarts, exits))
    }

    async fn start_all(&mut self, containerd: &Containerd) -> Result<(Burst, Option<Burst>)> {
        let count = self.scale.pods;
        let manifests: Vec<_> = (0..count)
            .map(|number| (Self::file(&pods::name(number)), pods::manifest(&pods::name(number))))
            .collect();
        let mark = self.events.mark();
        let begun = Instant::now();
        for (file, manifest) in &manifests {
            self.node.put_manifest(file, manifest)?;
        }
        let started = self.events.count("all pods start", mark, Kind::Started, 2 * count);
        let ready = async {
            match &self.shown {
                Some(shown) => shown.ready_times(count).await.map(Some),
                None => Ok(None),
            }
        };
        let (started, ready) = tokio::join!(started, ready);
        self.node.check_alive()?;
        let started = started?;
        // A pod's sandbox starts before its container does: the second half of each pair counts.
        let sandboxes = sandboxes(containerd).await?;
        let times: Vec<_> = started
            .iter()
            .filter(|event| !sandboxes.contains(&event.id))
            .map(|event| event.at - begun)
            .collect();
        let ready = ready?.map(|times| Burst::of(times.into_iter().map(|at| at - begun).collect()));
        Ok((Burst::of(times), ready))
    }

    async fn stop_all(&mut self) -> Result<(Burst, Option<f64>)> {
        let mark = self.events.mark();
        let begun = Instant::now();
        self.node.remove_manifests()?;
        let last = self.events.nothing_runs().await?;
        let ended = self.events.count("all pods stop", mark, Kind::Ended, 2 * self.scale.pods).await?;
        let gone = tokio::time::timeout(GONE_WITHIN, self.events.nothing_exists()).await;
        let each = Spread::of(ended.iter().map(|event| event.at - begun).collect());
        let gone_ms = gone.ok().transpose()?.map(|at| ms(at - begun));
        Ok((Burst { total_ms: ms(last - begun), each }, gone_ms))
    }
}

/// The ids of the sandboxes that the runtime has.
async fn sandboxes(containerd: &Containerd) -> Result<Vec<String>> {
    let metrics = cri::Metrics::register(&telemetry::metrics::Registry::new());
    let endpoint = containerd.endpoint().parse().context("containerd's endpoint")?;
    let runtime = cri::Runtime::new(&endpoint, None, cri::Options::default(), metrics);
    let listed = runtime.list_pod_sandboxes(None).await?;
    Ok(listed.into_iter().map(|(_, sandbox)| sandbox.id.to_string()).collect())
}
