//! The project's own commands: `cargo xtask demo`, `test`, `bench`, `vm`, `fuzz`, `codegen`, `tidy`.
//!
//! Decides: what a complete test run is, and which rules of the house are checked by a program.
//! Does not: contain anything that berth needs at run time.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program: its output is its purpose"
)]

mod bench;
mod codegen;
mod count;
mod demo;
mod files;
mod fuzz;
mod nextest;
mod sh;
mod test;
mod tidy;
mod tools;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "berth's development commands", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run berth with the examples on a private containerd, show what happens, and take everything down.
    Demo(demo::Options),
    /// Run every test this machine can run, and say which were skipped and why.
    Test(test::Options),
    /// Run the tests, or a command, in an emulated Debian with systemd, cgroup v2 and containerd 2.x.
    Vm(vm::Options),
    /// Measure speed and size of berth, the bare runtime and another kubelet; see `bench --help`.
    Bench(bench::Options),
    /// Feed mutated seeds to everything that reads untrusted bytes.
    Fuzz(fuzz::Options),
    /// Write the pages of `docs/` that follow from the code: settings, feature gates, metrics.
    Codegen(codegen::Options),
    /// Check the rules of the house: layers, file sizes, metrics, flags, crate documentation.
    Tidy,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(options) => demo::run(&options).await,
        Command::Test(options) => test::run(&options).await,
        Command::Vm(options) => vm::run(&options).await,
        Command::Bench(options) => bench::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Codegen(options) => codegen::run(&options),
        Command::Tidy => tidy::run().map(|report| report.print()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
