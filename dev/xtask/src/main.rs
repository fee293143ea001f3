//! The project's own commands: `cargo xtask test`, `tidy`.
//!
//! Decides: what a complete test run is, and which rules of the house are checked by a program.
//! Does not: contain anything that berth needs at run time.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program: its output is its purpose"
)]

mod sh;
mod test;
mod tidy;
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
    /// Run every test this machine can run, and say which were skipped and why.
    Test(test::Options),
    /// Check the rules of the house: layers, file sizes, metrics, flags, crate documentation.
    Tidy,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Test(options) => test::run(&options).await,
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
