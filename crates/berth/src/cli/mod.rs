//! The operator's commands.

mod client;
mod config;
mod logs;
mod pods;
mod solo;
mod why;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::console::tell_error;
use crate::{FAILED, MISUSED};

/// Where the agent's local API is unless told otherwise.
const DEFAULT_SOCKET: &str = "/var/lib/kubelet/berth.sock";

#[derive(Parser)]
#[command(
    name = "berth",
    about = "A Kubernetes node agent: the operator's commands",
    disable_version_flag = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the pods of this node, and the manifests with problems
    Pods(pods::PodsArgs),
    /// Tell what holds a pod up, since when, and what to do
    Why(why::WhyArgs),
    /// Print the log of a container
    Logs(logs::LogsArgs),
    /// Check or print a kubelet configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Run a Kubernetes API server for this one machine, and the node agent
    Solo(solo::SoloArgs),
}

/// Where to ask.
#[derive(Args)]
struct Socket {
    /// The agent's socket (<root-dir>/berth.sock)
    #[arg(long, default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
}

/// Whether `word` is a command.
pub(crate) fn is_command(word: &str) -> bool {
    matches!(word, "pods" | "why" | "logs" | "config" | "solo" | "help")
}

/// Runs the command.
pub(crate) fn run(args: &[OsString]) -> ExitCode {
    let cli = match Cli::try_parse_from(std::iter::once(&OsString::from("berth")).chain(args)) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(MISUSED) } else { ExitCode::SUCCESS };
        }
    };
    let outcome = match cli.command {
        Command::Pods(args) => pods::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Logs(args) => logs::run(&args),
        Command::Config(command) => config::run(&command),
        Command::Solo(args) => Ok(solo::run(args)),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            tell_error(&format!("{error:#}"));
            ExitCode::from(FAILED)
        }
    }
}
