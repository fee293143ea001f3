//! The node agent: from flags to running tasks.

mod admission;
mod assemble;
mod cgroups;
mod cluster;
mod collection;
mod events;
mod here;
mod housekeeping;
mod lifecycle;
mod local;
mod lock;
mod membership;
mod metrics;
mod nodeapi;
mod notify;
mod podobjects;
mod problem;
mod referred;
mod rotation;
mod runtimefacts;
mod services;
mod settings;
mod stop;
mod termination;

use std::ffi::OsString;
use std::process::ExitCode;

use config::{Loaded, LogFormat, Outcome, Request};
use stop::StopSignals;
use telemetry::logging::{Filter, Format, LoggingOptions, VModule};

use crate::cli::{tell, tell_error};
use crate::{FAILED, MISUSED};

const USAGE: &str = "\
Usage:
  berth [flags]                       run the node agent
  berth pods                          list the pods of this node
  berth why [POD]                     tell what holds a pod up
  berth logs POD [-c CONTAINER]       print a container's log
  berth config check FILE...          check configuration files
  berth config print -- [flags]       print the effective configuration
  berth solo                          run a Kubernetes API server for this one machine
";

/// Runs the agent until it is told to stop, or cannot go on.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    linux::memory::share_one_arena();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell_error(&format!("berth cannot start its threads: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let status = runtime.block_on(live(args));
    // A call into the kernel that hangs must not keep the agent from ending.
    runtime.shutdown_background();
    status
}

async fn live(args: Vec<OsString>) -> ExitCode {
    // First of all: also who is told to stop in its first moments ends well.
    let stop = match StopSignals::take() {
        Ok(stop) => stop,
        Err(error) => {
            tell_error(&format!("berth cannot take signals: {error}"));
            return ExitCode::from(FAILED);
        }
    };
    let loaded = match config::load(args.into_iter()) {
        Ok(Outcome::Run(loaded)) => *loaded,
        Ok(Outcome::Request(request)) => {
            tell(&answer(request));
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            tell_error(&telemetry::chain(&error));
            return ExitCode::from(MISUSED);
        }
    };
    if let Err(error) = telemetry::logging::init(logging(&loaded)) {
        tell_error(&telemetry::chain(&error));
        return ExitCode::from(FAILED);
    }
    tell_start(&loaded);
    match assemble::run(loaded, stop).await {
        Ok(()) => {
            tracing::info!("berth stops; containers run on");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "berth cannot go on");
            ExitCode::from(FAILED)
        }
    }
}

fn answer(request: Request) -> String {
    match request {
        Request::Help => {
            format!("{USAGE}\nFlags of the agent, which are the kubelet's:\n{}", config::flags::help())
        }
        Request::Version { raw: false } => format!("Kubernetes {}\n", settings::KUBERNETES_VERSION),
        Request::Version { raw: true } => {
            format!("berth {} (Kubernetes {})\n", env!("CARGO_PKG_VERSION"), settings::KUBERNETES_VERSION)
        }
    }
}

fn logging(loaded: &Loaded) -> LoggingOptions {
    let logging = &loaded.config.logging;
    let json = logging.format == LogFormat::Json;
    let vmodule = logging
        .vmodule
        .iter()
        .map(|module| VModule { pattern: module.file_pattern.clone(), verbosity: module.verbosity });
    LoggingOptions {
        format: if json { Format::Json } else { Format::Text },
        filter: Filter { verbosity: logging.verbosity, vmodule: vmodule.collect() },
        split_stream: if json {
            logging.options.json.split_stream
        } else {
            logging.options.text.split_stream
        },
    }
}

fn tell_start(loaded: &Loaded) {
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        kubernetes = settings::KUBERNETES_VERSION,
        "berth starts"
    );
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let unacted = loaded.unacted();
    if !unacted.is_empty() {
        tracing::warn!(settings = unacted.join(", "), "These settings are accepted, and not acted on yet");
    }
}

#[cfg(test)]
mod reference;
