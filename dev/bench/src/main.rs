//! Measures berth, the bare container runtime and, if asked, another kubelet, on the same pods on this machine, and
//! prints the figures side by side.
//!
//! Decides: nothing; figures are printed and never judged. Every contender gets a private containerd of its own, and
//! what is compared between node agents is read off containerd's own events, which no agent has a part in; or, where
//! they are nodes of an API server, off a watch of that.
//!
//! Does not: build what it measures (`cargo xtask bench` does).

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program: its output is its purpose"
)]

mod agent;
mod api;
mod bare;
mod calls;
mod columns;
mod events;
mod exposition;
mod figures;
mod ground;
mod load;
mod pods;
mod port;
mod probes;
mod process;
mod responder;
mod runtime;
mod scale;
mod scrape;
mod served;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Error, Result, anyhow};
use clap::Parser;
use lab::containerd::Containerd;
use serde::Serialize;

use figures::{Compared, Report};
use ground::{fresh_containerd, taken_down};
use scale::Scale;

#[derive(Parser)]
#[command(name = "cargo xtask bench", disable_version_flag = true)]
struct Options {
    /// The berth to measure.
    #[arg(long)]
    berth: PathBuf,
    /// Another kubelet to measure on the same pods.
    #[arg(long)]
    against: Option<PathBuf>,
    /// Pods in a burst.
    #[arg(long, default_value_t = 100)]
    pods: usize,
    /// Fewer pods, repetitions and numbers of workers; shorter pauses.
    #[arg(long)]
    quick: bool,
    /// Leave out the bare runtime.
    #[arg(long)]
    no_bare: bool,
    /// Measure them as nodes of API servers, instead of on manifests in a directory.
    #[arg(long, group = "what")]
    api: bool,
    /// Measure probes instead.
    #[arg(long, group = "what")]
    probes: bool,
    /// Measure what being asked for figures, logs and streams costs instead.
    #[arg(long, group = "what")]
    scrape: bool,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    let scale = Scale::of(options.pods, options.quick);
    if options.api {
        measure_members(options, &scale).await
    } else if options.probes {
        let measure = async |containerd: &_, program: &_| probes::measure(containerd, program, &scale).await;
        compare(options, &scale, measure, probes::table::render).await
    } else if options.scrape {
        let measure = async |containerd: &_, program: &_| scrape::measure(containerd, program, &scale).await;
        compare(options, &scale, measure, scrape::table::render).await
    } else {
        measure_agents(options, &scale).await
    }
}

/// The programs to measure.
fn contenders(options: &Options) -> Result<Vec<PathBuf>> {
    let programs = std::iter::once(&options.berth).chain(&options.against);
    let found =
        programs.map(|program| program.canonicalize().with_context(|| format!("find {}", program.display())));
    found.collect()
}

/// How many cores the machine has.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

async fn measure_agents(options: &Options, scale: &Scale) -> Result<()> {
    let load_before = process::load_average();
    let bare = if options.no_bare {
        None
    } else {
        let containerd = fresh_containerd().await?;
        eprintln!("bench: the bare runtime");
        let figures = bare::measure(&containerd, scale).await;
        let figures = taken_down(containerd, figures).await?;
        Some(figures)
    };
    let measure = async |containerd: &_, program: &_| agent::measure(containerd, program, scale).await;
    let (agents, failed) = each(options, measure).await?;
    let (load_after, cores) = (process::load_average(), cores());
    let report = Report { pods: scale.pods, cores, load_before, load_after, bare, agents };
    print(options, &report, table::render)?;
    outcome(failed)
}

/// Measures the agents in one respect.
async fn compare<T: Serialize>(
    options: &Options,
    scale: &Scale,
    measure: impl AsyncFn(&Containerd, &Path) -> Result<T>,
    render: impl Fn(&Compared<T>) -> String,
) -> Result<()> {
    let load_before = process::load_average();
    let (agents, failed) = each(options, measure).await?;
    let (load_after, cores) = (process::load_average(), cores());
    print(options, &Compared { pods: scale.pods, cores, load_before, load_after, agents }, render)?;
    outcome(failed)
}

/// Measures each agent on a runtime of its own: the figures, and what failed.
async fn each<T>(
    options: &Options,
    measure: impl AsyncFn(&Containerd, &Path) -> Result<T>,
) -> Result<(Vec<T>, Vec<Error>)> {
    let (mut agents, mut failed) = (Vec::new(), Vec::new());
    for program in contenders(options)? {
        eprintln!("bench: {}", program.display());
        let containerd = fresh_containerd().await?;
        let figures = measure(&containerd, &program).await;
        // What the others took minutes for is not lost with it.
        match taken_down(containerd, figures).await {
            Ok(figures) => agents.push(figures),
            Err(error) => failed.push(error.context(format!("measure {}", program.display()))),
        }
    }
    Ok((agents, failed))
}

async fn measure_members(options: &Options, scale: &Scale) -> Result<()> {
    let load_before = process::load_average();
    let programs = contenders(options)?;
    let (mut members, mut failed) = (Vec::new(), Vec::new());
    for server in api::servers(&programs[0]) {
        for program in &programs {
            let what = format!("{} on {}", program.display(), server.name());
            eprintln!("bench: {what}");
            let containerd = fresh_containerd().await?;
            let figures = api::measure(&containerd, &server, program, scale).await;
            match taken_down(containerd, figures).await {
                Ok(figures) => members.push(figures),
                Err(error) => failed.push(error.context(format!("measure {what}"))),
            }
        }
    }
    let (load_after, cores) = (process::load_average(), cores());
    let report = api::figures::Report { pods: scale.pods, cores, load_before, load_after, members };
    print(options, &report, api::table::render)?;
    outcome(failed)
}

/// All that failed, as one.
fn outcome(failed: Vec<Error>) -> Result<()> {
    let all = failed.into_iter().reduce(|all, error| anyhow!("{all:#}\n{error:#}"));
    all.map_or(Ok(()), Err)
}

fn print<R: Serialize>(options: &Options, report: &R, render: impl Fn(&R) -> String) -> Result<()> {
    if options.json {
        println!("{}", serde_json::to_string_pretty(report).context("write the report as JSON")?);
    } else {
        print!("{}", render(report));
    }
    Ok(())
}
