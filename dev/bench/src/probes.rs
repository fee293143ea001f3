//! What probes cost, how late they are, whether one fails that should not, and how soon what they find is acted on.

pub(crate) mod figures;
pub(crate) mod table;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::containerd::Containerd;
use testkit::pod::PodBuilder;
use tokio::time::{Instant, sleep};

use crate::events::Kind;
use crate::exposition::Exposition;
use crate::figures::{Spread, millicores};
use crate::load::Load;
use crate::pods;
use crate::responder::Responder;
use crate::runtime::Runtime;
use crate::scale::Scale;
use crate::served::Served;
use figures::{Probing, Round, Tail, Window};

const ATTEMPTS: &str = "prober_probe_total";
const RESULT: &str = "result";

/// How often it is asked whether all pods were probed once, and how long that may take.
const ASKED_EVERY: Duration = Duration::from_millis(500);
const PROBED_WITHIN: Duration = Duration::from_secs(240);

/// Measures `program` on the runtime, in which nothing runs.
pub(crate) async fn measure(containerd: &Containerd, program: &Path, scale: &Scale) -> Result<Probing> {
    let served = Served::start(containerd, program, "").await?;
    let mut bench = Bench { served, containerd, scale };
    let measured = bench.measure(program).await;
    measured.with_context(|| format!("the end of the agent's log:\n{}", bench.served.node.log_tail()))
}

struct Bench<'a> {
    served: Served,
    containerd: &'a Containerd,
    scale: &'a Scale,
}

/// What is read at the beginning and the end of a window.
struct Look {
    at: Instant,
    agent: Duration,
    runtime: Duration,
    metrics: Exposition,
}

impl Bench<'_> {
    async fn measure(&mut self, program: &Path) -> Result<Probing> {
        let count = self.scale.pods;
        let pods = |name: &str, pod: fn(&str, usize) -> PodBuilder| -> Vec<_> {
            let names = (0..count).map(|number| format!("{name}-{number}"));
            names.map(|name| (name.clone(), pod(&name, count))).collect()
        };
        let http = self.round(&pods("web", pods::web), 2 * count).await?;
        let command = self.round(&pods("command", pods::commanded), count).await?;
        let (stops, restarts) = self.failures().await?;
        self.served.node.stop().await?;
        Ok(Probing {
            name: program.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            http,
            command,
            failure_to_stop: Spread::of(stops),
            failure_to_restart: Spread::of(restarts),
        })
    }

    /// Watches pods that have so many probes together.
    async fn round(&mut self, pods: &[(String, PodBuilder)], probes: usize) -> Result<Round> {
        self.served.start_pods(pods).await?;
        self.until_probed(probes).await?;
        sleep(self.scale.settle).await;
        let runtime = Runtime::of(self.containerd);
        let quiet = self.window(&runtime).await?;
        let load = Load::on_every_core();
        let busy = self.window(&runtime).await?;
        drop(load);
        self.served.stop_pods().await?;
        Ok(Round { quiet, busy })
    }

    async fn metrics(&mut self) -> Result<Exposition> {
        Ok(Exposition::new(self.served.api.get("/metrics/probes").await?))
    }

    /// Waits until each probe has succeeded once.
    async fn until_probed(&mut self, probes: usize) -> Result<()> {
        let give_up = Instant::now() + PROBED_WITHIN;
        loop {
            let well = self.metrics().await?.counting(ATTEMPTS, RESULT, "successful");
            if well >= probes {
                return Ok(());
            }
            if Instant::now() > give_up {
                bail!("{well} of {probes} probes have succeeded after {} s", PROBED_WITHIN.as_secs());
            }
            sleep(ASKED_EVERY).await;
        }
    }

    async fn look(&mut self, runtime: &Runtime) -> Result<Look> {
        let metrics = self.metrics().await?;
        let (agent, runtime) = (self.served.cpu_time()?, runtime.cpu_time());
        Ok(Look { at: Instant::now(), agent, runtime, metrics })
    }

    async fn window(&mut self, runtime: &Runtime) -> Result<Window> {
        let before = self.look(runtime).await?;
        sleep(self.scale.probing).await;
        // The times first: showing the metrics is not what is measured.
        let (agent, used_by_runtime) = (self.served.cpu_time()?, runtime.cpu_time());
        let (at, metrics) = (Instant::now(), self.metrics().await?);
        self.served.node.check_alive()?;
        Ok(window(&before, &Look { at, agent, runtime: used_by_runtime, metrics }))
    }

    /// Has liveness probes fail: until the container has stopped, and until its successor is created.
    async fn failures(&mut self) -> Result<(Vec<Duration>, Vec<Duration>)> {
        let (mut stops, mut restarts) = (Vec::new(), Vec::new());
        for number in 0..self.scale.turns {
            let responder = Responder::start().await?;
            let name = format!("lives-{number}");
            let pod = pods::asked(&name, "livenessProbe", responder.port());
            self.served.start_pods(&[(name, pod)]).await?;
            responder.answered().await?;
            // Whatever the agent does every second is not to be met at the same point each time.
            sleep(Duration::from_millis(300 + (number as u64 * 367) % 1000)).await;
            let mark = self.served.events.mark();
            responder.say(false);
            let failed = responder.answered().await?;
            responder.say(true);
            let events = &self.served.events;
            let stopped = events.count("the container is stopped", mark, Kind::Ended, 1).await?;
            let created = events.count("a container is restarted", mark, Kind::Created, 1).await?;
            stops.push(stopped[0].at - failed);
            restarts.push(created[0].at - failed);
            events.count("the container runs again", mark, Kind::Started, 1).await?;
            self.served.stop_pods().await?;
        }
        Ok((stops, restarts))
    }
}

/// What happened between two looks.
fn window(before: &Look, after: &Look) -> Window {
    let took = after.at - before.at;
    let more =
        |result| after.metrics.sum(ATTEMPTS, RESULT, result) - before.metrics.sum(ATTEMPTS, RESULT, result);
    let tail = |name| {
        let all = after.metrics.histogram(name)?.since(before.metrics.histogram(name).as_ref());
        Some(Tail { p50_ms: all.within_ms(0.5)?, p99_ms: all.within_ms(0.99)? })
    };
    let (successful, failed, unknown) = (more("successful"), more("failed"), more("unknown"));
    Window {
        agent_millicores: millicores(after.agent.saturating_sub(before.agent), took),
        runtime_millicores: millicores(after.runtime.saturating_sub(before.runtime), took),
        attempts_per_second: (successful + failed + unknown) / took.as_secs_f64(),
        failed,
        unknown,
        lateness: tail("berth_probe_lateness_seconds"),
        duration: tail("prober_probe_duration_seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_window_is_what_happened_between_two_looks() {
        let begun = Instant::now();
        let look = |seconds, [successful, failed, late]: [u32; 3]| Look {
            at: begun + Duration::from_secs(seconds),
            agent: Duration::from_millis(100 * seconds),
            runtime: Duration::from_millis(300 * seconds),
            metrics: Exposition::new(format!(
                "prober_probe_total{{result=\"successful\"}} {successful}\n\
                 prober_probe_total{{result=\"failed\"}} {failed}\n\
                 berth_probe_lateness_seconds_bucket{{le=\"0.01\"}} {}\n\
                 berth_probe_lateness_seconds_bucket{{le=\"+Inf\"}} {successful}\n",
                successful - late,
            )),
        };
        let window = window(&look(1, [10, 1, 0]), &look(11, [207, 4, 2]));
        assert_eq!((window.agent_millicores, window.runtime_millicores), (100.0, 300.0));
        assert_eq!((window.attempts_per_second, window.failed, window.unknown), (20.0, 3.0, 0.0));
        let lateness = window.lateness.unwrap();
        assert_eq!((lateness.p50_ms, lateness.p99_ms), (10.0, f64::INFINITY));
        assert!(window.duration.is_none());
    }
}
