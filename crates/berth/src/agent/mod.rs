//! The node agent: from flags to running tasks.

mod addresses;
mod admission;
mod assemble;
mod cgroups;
mod cluster;
mod collection;
mod drivers;
mod events;
mod here;
mod housekeeping;
mod lifecycle;
mod local;
mod lock;
mod membership;
mod memory;
mod metrics;
mod nodeapi;
mod nodeobject;
mod notify;
mod podaccess;
mod podlogs;
mod podobjects;
mod podresources;
mod port;
mod probes;
mod problem;
mod qosclasses;
mod referred;
mod reviews;
mod rotation;
mod runtimefacts;
mod services;
mod settings;
mod signed;
mod stats;
mod termination;
mod volumestats;

use std::ffi::OsString;
use std::process::ExitCode;

use config::{Loaded, LogFormat, Outcome, Request};
use telemetry::logging::{Filter, Format, LogHandle, LoggingOptions, VModule};

use crate::console::{tell, tell_error};
use crate::{FAILED, MISUSED, process};

pub(crate) use assemble::run as live;

const USAGE: &str = "\
Usage:
  berth [flags]                       run the node agent
  berth pods                          list the pods of this node
  berth why [POD]                     tell what holds a pod up
  berth logs POD [-c CONTAINER]       print a container's log
  berth config check FILE...          check configuration files
  berth config print -- [flags]       print the effective configuration
  berth solo [-- flags]               run a Kubernetes API server for this one machine, and the node agent
";

/// Runs the agent until it is told to stop, or cannot go on.
pub(crate) fn run(args: Vec<OsString>) -> ExitCode {
    process::run(|stop| async {
        match load(args) {
            Ok((loaded, log)) => ended(live(loaded, log, stop).await),
            Err(status) => status,
        }
    })
}

/// Reads flags and configuration, and begins to log as they say, until the handle says otherwise.
///
/// # Errors
/// The exit status, if there is nothing to run: flags or files are wrong, or only a question was asked.
pub(crate) fn load(args: Vec<OsString>) -> Result<(Loaded, LogHandle), ExitCode> {
    let loaded = match config::load(args.into_iter()) {
        Ok(Outcome::Run(loaded)) => *loaded,
        Ok(Outcome::Request(request)) => {
            tell(&answer(request));
            return Err(ExitCode::SUCCESS);
        }
        Err(error) => {
            tell_error(&telemetry::chain(&error));
            return Err(ExitCode::from(MISUSED));
        }
    };
    let log = telemetry::logging::init(logging(&loaded)).map_err(|error| {
        tell_error(&telemetry::chain(&error));
        ExitCode::from(FAILED)
    })?;
    tell_start(&loaded);
    Ok((loaded, log))
}

/// Tells how the process ends, in the log and by its exit status.
pub(crate) fn ended(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
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
