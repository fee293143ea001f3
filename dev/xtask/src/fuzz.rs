//! `cargo xtask fuzz`: what reads untrusted bytes, on mutated seeds, with any toolchain.
//!
//! What is fuzzed is a program of its own (`dev/fuzzing`): it uses berth's crates, which this one must not need. An
//! input that ends that process is found in its work directory.

use anyhow::Result;
use clap::Args;

use crate::{sh, workspace};

#[derive(Args)]
pub(crate) struct Options {
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where the random numbers begin: the same number gives the same inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Targets, as the folders of fuzz/seeds are named; all if none is named.
    targets: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<bool> {
    sh::output(sh::cargo(["build", "--package", "fuzzing"]).arg("--bin=fuzz")).map(drop)?;
    let work = workspace::target().join("fuzz");
    let status = std::process::Command::new(workspace::target().join("debug/fuzz"))
        .arg("--seeds")
        .arg(workspace::root().join("fuzz/seeds"))
        .arg("--work")
        .arg(&work)
        .args(["--seconds", &options.seconds.to_string(), "--seed", &options.seed.to_string()])
        .args(&options.targets)
        .status()?;
    if status.code().is_none() {
        println!("the process was ended ({status}) by the input in {}", work.display());
    }
    Ok(status.success())
}
