//! `berth solo`: an API server for this one machine.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use solo::{Settings, Solo};
use telemetry::logging::{Filter, Format, LoggingOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::tell;

#[derive(Args)]
pub(super) struct SoloArgs {
    /// Where objects, certificates and kubeconfigs are kept
    #[arg(long, default_value = "/var/lib/berth-solo")]
    dir: PathBuf,
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:6443")]
    listen: SocketAddr,
    /// The name of this machine as a node (the host name)
    #[arg(long, default_value = "")]
    node_name: String,
    /// How much to log
    #[arg(short, default_value_t = 2)]
    v: u32,
}

/// Serves until the process is told to stop.
pub(super) fn run(args: &SoloArgs) -> anyhow::Result<ExitCode> {
    telemetry::logging::init(LoggingOptions {
        format: Format::Text,
        filter: Filter { verbosity: args.v, vmodule: Vec::new() },
        split_stream: false,
    })?;
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let node = node::node_name(Some(&args.node_name), &hostname)?;
    let settings = Settings { dir: args.dir.clone(), listen: args.listen, node };
    linux::memory::share_one_arena();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(serve(&settings))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for signals")?;
    let solo = Solo::open(settings).await?;
    tell(&format!(
        "The API server listens on https://{}\n  export KUBECONFIG={}\n",
        solo.address(),
        solo.admin_kubeconfig().display()
    ));
    let shutdown = CancellationToken::new();
    let serving = solo.serve(shutdown.clone());
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("the API server stops");
    shutdown.cancel();
    Ok(serving.await?)
}
