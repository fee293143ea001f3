//! `cargo xtask bench`: berth, the bare runtime and another kubelet, measured side by side; with `--api`, as nodes of
//! API servers; with `--probes` and `--scrape`, in these respects.
//!
//! What measures is a program of its own (`dev/bench`): it uses berth's crates, which this one must not need.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use crate::{sh, workspace};

#[derive(Args)]
pub(crate) struct Options {
    /// The program of another kubelet to measure on the same pods.
    #[arg(long, value_name = "PATH")]
    against: Option<PathBuf>,
    /// Pods in a burst.
    #[arg(long, default_value_t = 100)]
    pods: usize,
    /// At most 20 pods, fewer repetitions, shorter pauses: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
    /// Leave out the bare runtime.
    #[arg(long)]
    no_bare: bool,
    /// Measure them as nodes of an API server instead: that of `berth solo`, and `kube-apiserver` with `etcd` where
    /// KUBEBUILDER_ASSETS names their directory.
    #[arg(long, group = "what")]
    api: bool,
    /// Measure probes instead: what they cost, how late they are, whether one fails that should not, and how soon a
    /// container is stopped whose probe has failed.
    #[arg(long, group = "what")]
    probes: bool,
    /// Measure instead what it costs to be asked for figures every 15 s, how fast a log is given out, and how fast bytes are
    /// copied out of a container and into it.
    #[arg(long, group = "what")]
    scrape: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(options: &Options) -> Result<bool> {
    if !workspace::is_root() {
        bail!("the bench starts containers: run it as root");
    }
    // The bench asks and listens while it measures: it, too, must take little of the machine.
    build(&["--package", "berth", "--package", "bench", "--release"])?;
    let mut bench = std::process::Command::new(workspace::target().join("release/bench"));
    bench.arg("--berth").arg(workspace::target().join("release/berth"));
    bench.arg(format!("--pods={}", options.pods));
    if let Some(program) = &options.against {
        bench.arg("--against").arg(program);
    }
    let flags = [
        (options.quick, "--quick"),
        (options.no_bare, "--no-bare"),
        (options.api, "--api"),
        (options.probes, "--probes"),
        (options.scrape, "--scrape"),
        (options.json, "--json"),
    ];
    bench.args(flags.into_iter().filter_map(|(given, flag)| given.then_some(flag)));
    // Not `sh::status`: its line would be in the way of a program that reads the JSON.
    Ok(bench.status()?.success())
}

fn build(what: &[&str]) -> Result<()> {
    sh::output(sh::cargo(["build"]).args(what)).map(drop)
}
