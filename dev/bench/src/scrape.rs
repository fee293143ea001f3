//! What it costs a node agent to be asked for figures regularly, and how fast it gives out a log and passes on streams.

mod copy;
pub(crate) mod figures;
mod log;
mod stream;
pub(crate) mod table;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use cri::Runtime;
use lab::containerd::Containerd;
use tokio::time::{Instant, sleep_until};

use crate::figures::{Spread, millicores};
use crate::pods;
use crate::scale::Scale;
use crate::served::Served;
use copy::{Copying, Direction};
use figures::{Log, Page, Scraped};

/// What is asked for, and how often: the pages, and the interval, of usual monitoring.
const PAGES: [&str; 3] = ["/stats/summary", "/metrics/resource", "/metrics/cadvisor"];
const EVERY: Duration = Duration::from_secs(15);

/// The log that is read must not be rotated away.
const CONFIGURATION: &str = "containerLogMaxSize: 16Gi\n";

/// How often the log is read.
const READS: usize = 3;

/// Measures `program` on the runtime, in which nothing runs.
pub(crate) async fn measure(containerd: &Containerd, program: &Path, scale: &Scale) -> Result<Scraped> {
    let served = Served::start(containerd, program, CONFIGURATION).await?;
    let mut bench = Bench { served, runtime: crate::runtime::client(containerd)?, scale };
    let measured = bench.measure(program).await;
    measured.with_context(|| format!("the end of the agent's log:\n{}", bench.served.node.log_tail()))
}

struct Bench<'a> {
    served: Served,
    runtime: Runtime,
    scale: &'a Scale,
}

impl Bench<'_> {
    async fn measure(&mut self, program: &Path) -> Result<Scraped> {
        let pods: Vec<_> =
            (0..self.scale.pods).map(pods::name).map(|name| (name.clone(), pods::plain(&name))).collect();
        self.served.start_pods(&pods).await?;
        // What is made once for each page is not to be in the figures; it also shows that they are there.
        self.scrape().await?;
        sleep_until(Instant::now() + self.scale.settle).await;

        let rss_idle_kib = self.served.memory_kib("VmRSS")?;
        let idle_millicores = self.watch(None).await?;
        // Agents close connections on which nothing is asked.
        self.served.api = self.served.port.connect().await?;
        let mut pages = PAGES.map(|path| Pages { path, took: Vec::new(), bytes: 0 });
        let scraped_millicores = self.watch(Some(&mut pages)).await?;
        let rss_scraped_kib = self.served.memory_kib("VmRSS")?;
        let pod = format!("{}-{}", pods::name(0), self.served.node.name());
        let log = self.log(&pod).await?;
        let copying = Copying::find(&self.served, &self.runtime, &pod, self.scale.log_mib).await?;
        let out = copying.measure(Direction::Out).await.context("copy out of a container")?;
        let into = copying.measure(Direction::Into).await.context("copy into a container")?;
        self.served.stop_pods().await?;
        self.served.node.stop().await?;
        Ok(Scraped {
            name: program.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            idle_millicores,
            scraped_millicores,
            pages: pages.into_iter().map(Pages::figures).collect(),
            rss_idle_kib,
            rss_scraped_kib,
            log,
            out,
            into,
        })
    }

    /// Asks for each page once.
    async fn scrape(&mut self) -> Result<[(Duration, u64); PAGES.len()]> {
        let mut answers = [(Duration::ZERO, 0); PAGES.len()];
        for (answer, path) in answers.iter_mut().zip(PAGES) {
            let begun = Instant::now();
            let bytes = self.served.api.drain(path).await?;
            *answer = (begun.elapsed(), bytes);
        }
        Ok(answers)
    }

    /// What the agent uses during some intervals; at the beginning of each it is asked for the pages, if there are any.
    async fn watch(&mut self, mut pages: Option<&mut [Pages; PAGES.len()]>) -> Result<f64> {
        let (begun, before) = (Instant::now(), self.served.cpu_time()?);
        let mut next = begun;
        for _ in 0..self.scale.scrapes {
            if let Some(pages) = &mut pages {
                for (page, (took, bytes)) in pages.iter_mut().zip(self.scrape().await?) {
                    page.took.push(took);
                    page.bytes = bytes;
                }
            }
            next += EVERY;
            sleep_until(next).await;
        }
        self.served.node.check_alive()?;
        Ok(millicores(self.served.cpu_time()?.saturating_sub(before), begun.elapsed()))
    }

    /// Has the pod's log read.
    async fn log(&mut self, pod: &str) -> Result<Log> {
        let bytes = self.scale.log_mib << 20;
        log::lengthen(&self.served.node, pod, bytes)?;
        let path = format!("/containerLogs/default/{pod}/{}", pods::CONTAINER);
        let rss_before_kib = self.served.memory_kib("VmRSS")?;
        crate::process::forget_peak(self.served.pid)?;
        let (mut reads, before) = (Vec::new(), self.served.cpu_time()?);
        for _ in 0..READS {
            let begun = Instant::now();
            let read = self.served.api.drain(&path).await?;
            reads.push(begun.elapsed());
            anyhow::ensure!(read == bytes, "the log has {bytes} bytes, and {read} were given out");
        }
        let used = self.served.cpu_time()?.saturating_sub(before);
        let reading = reads.iter().sum();
        Ok(Log {
            mib: self.scale.log_mib,
            read: Spread::of(reads),
            millicores: millicores(used, reading),
            rss_before_kib,
            rss_peak_kib: self.served.memory_kib("VmHWM")?,
        })
    }
}

/// The answers for one page.
struct Pages {
    path: &'static str,
    took: Vec<Duration>,
    bytes: u64,
}

impl Pages {
    fn figures(self) -> Page {
        Page { path: self.path, took: Spread::of(self.took), bytes: self.bytes }
    }
}
