//! berth, a Kubernetes node agent. This crate parses, assembles and supervises; it is the only one that names all
//! the others.
//!
//! `berth [flags]` runs the agent with the kubelet's flags, and so does the program under the name `kubelet`.
//! `berth config|pods|why|logs` are the operator's commands, and `berth solo` is the agent with an API server for its
//! machine alone.

mod agent;
mod cli;
mod console;
mod process;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// The agent or the command failed.
const FAILED: u8 = 1;
/// It was called wrongly.
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let program = args.next().unwrap_or_default();
    let args: Vec<OsString> = args.collect();
    let as_kubelet = Path::new(&program).file_name().is_some_and(|name| name == "kubelet");
    let first = args.first().and_then(|arg| arg.to_str()).filter(|arg| !as_kubelet && !arg.starts_with('-'));
    match first {
        Some(command) if cli::is_command(command) => cli::run(&args),
        _ => agent::run(args),
    }
}
