//! `cargo xtask vm`: the suite inside an emulated Debian, where systemd, cgroup v2, oom_score_adj, user namespaces
//! and logind are real whatever the machine around it has.

mod cpio;
mod image;
mod machine;
mod payload;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::count::Count;
use crate::{nextest, tools};
use payload::Work;

/// The packages whose tests need a real machine.
const PACKAGES: [&str; 5] = ["berth", "cgroup", "intree", "linux", "volume"];

#[derive(Args)]
pub(crate) struct Options {
    /// Run this shell command instead of the tests.
    #[arg(long, value_name = "COMMAND", conflicts_with = "filter")]
    run: Option<String>,
    /// Run the tests that this nextest filterset matches.
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// Take the tests of this package; may be repeated. By default those that need a real machine.
    #[arg(long = "package", short = 'p', value_name = "NAME", conflicts_with = "run")]
    packages: Vec<String>,
    /// Turn the machine off after so many minutes.
    #[arg(long, value_name = "MINUTES", default_value_t = 30)]
    deadline: u64,
}

/// Why the machine cannot be emulated here; nothing if it can.
pub(crate) fn is_impossible() -> Option<&'static str> {
    if std::env::consts::ARCH != "x86_64" {
        return Some("the emulated machine runs this machine's x86-64 programs");
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Some("needs a Debian to make a Debian");
    }
    (!crate::workspace::is_root()).then_some("needs root to make the machine's disk")
}

/// `cargo xtask vm`.
pub(crate) async fn run(options: &Options) -> Result<bool> {
    let within = Duration::from_secs(options.deadline * 60);
    if let Some(command) = &options.run {
        return Ok(boot(&Work::Command(command), within).await?.status == Some(0));
    }
    tools::ensure()?;
    let default = if options.packages.is_empty() { default_filter() } else { "all()".to_owned() };
    let packages = if options.packages.is_empty() { default_packages() } else { options.packages.clone() };
    let count = tests(&packages, options.filter.as_deref().unwrap_or(&default), within).await?;
    println!("vm: {} passed, {} failed", count.passed, count.failed);
    Ok(count.failed == 0)
}

/// The tests that a real machine is for: the real suite, and the two crates that are nearest to the kernel. Without what
/// takes long there and tells nothing new, as it has run on this machine: what computes and asks the kernel for nothing, what
/// kills berth again and again on a fake runtime, what plays servers that are real there, and what is alike with each kernel
/// and runtime. `--filter` runs those too.
pub(crate) fn default_filter() -> String {
    let real = nextest::REAL;
    let elsewhere = [
        "binary_id(berth::fake)",
        "binary_id(intree)",
        "(package(volume) - test(counts_volumes))",
        "test(real_iscsi_of_two_targets)",
        "test(real_the_examples_serve_end_and_crash)",
        "test(real_objects_are_in_files_and_variables)",
        "test(real_a_volume_that_hangs_holds_up_its_pod_alone)",
        "test(real_hooks_run_around_a_container)",
        "test(real_a_changed_manifest_replaces_its_pod)",
        "test(real_a_port_of_the_node_leads_to_the_pod)",
        "test(real_a_container_sees_its_environment_names_and_resolver)",
        "test(real_a_web_server_is_ready_when_it_has_the_page)",
    ]
    .join(" - ");
    format!("({real} - {elsewhere}) + ((package(cgroup) + package(linux)) - test(/never_panics|round_trip/))")
}

/// The packages in which [`default_filter`] finds something.
pub(crate) fn default_packages() -> Vec<String> {
    PACKAGES.map(str::to_owned).to_vec()
}

/// Runs the tests in the machine and counts what came of them.
pub(crate) async fn tests(packages: &[String], filter: &str, within: Duration) -> Result<Count> {
    let outcome = boot(&Work::Tests { filter, packages }, within).await?;
    let report = outcome.report.as_deref().and_then(nextest::count);
    match (outcome.status, report) {
        (Some(0), None) => Ok(Count::default()),
        (Some(0), Some(count)) => Ok(count),
        (Some(nextest::TESTS_FAILED), Some(count)) if count.failed > 0 => Ok(count),
        (status, _) => anyhow::bail!("the suite in the emulated machine ended with {status:?} and no report"),
    }
}

/// Installs what the machine needs, and begins to make its disk if there is none: that is mostly waiting for downloads.
pub(crate) fn prepare() -> Result<JoinHandle<Result<()>>> {
    image::ensure_tools()?;
    Ok(tokio::task::spawn_blocking(|| image::ensure().map(drop)))
}

async fn boot(work: &Work<'_>, within: Duration) -> Result<machine::Outcome> {
    let image = image::ensure()?;
    let folder = image::folder();
    let disk = payload::build(&folder, work)?;
    let console = folder.join("console.log");
    let begun = Instant::now();
    let mut outcome = machine::run(&image, &disk, &console, within).await?;
    if outcome.ready.is_none() {
        // The emulator's fault or the kernel's: nothing of ours has run yet.
        println!(
            "vm: did not come up, and is started once more; the end of its console:\n{}",
            lab::log::end(&console)
        );
        outcome = machine::run(&image, &disk, &console, within).await?;
    }
    let ready = outcome.ready.as_deref().with_context(|| {
        format!("the emulated machine did not come up; the end of its console:\n{}", lab::log::end(&console))
    })?;
    let status =
        outcome.status.with_context(|| format!("the emulated machine died; see {}", console.display()))?;
    println!("vm: up after {ready} s, done after {} s with status {status}", begun.elapsed().as_secs());
    Ok(outcome)
}
