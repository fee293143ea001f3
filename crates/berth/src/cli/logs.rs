//! `berth logs`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use types::{Pod, pod};

use super::pods::PodList;
use super::{Socket, client};

#[derive(Args)]
pub(super) struct LogsArgs {
    /// The pod, as NAME or NAMESPACE/NAME
    pod: String,
    /// The container; the first one if left out
    #[arg(short, long)]
    container: Option<String>,
    /// Go on as the log grows
    #[arg(short, long)]
    follow: bool,
    /// The instance before the current one
    #[arg(short, long)]
    previous: bool,
    /// Each line with its time
    #[arg(long)]
    timestamps: bool,
    /// Only the last lines
    #[arg(long)]
    tail: Option<u64>,
    /// Only what is younger, in seconds
    #[arg(long)]
    since: Option<u64>,
    #[command(flatten)]
    socket: Socket,
}

pub(super) fn run(args: &LogsArgs) -> anyhow::Result<ExitCode> {
    client::block_on(print(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn print(args: &LogsArgs) -> anyhow::Result<()> {
    let list: PodList = client::get_json(&args.socket.socket, "/pods").await?;
    let found = find(&list.items, &args.pod)?;
    let container = match &args.container {
        Some(name) => name.clone(),
        None => pod::regular_containers(found)
            .first()
            .map(|c| c.name.clone())
            .context("the pod has no containers")?,
    };
    let (namespace, name) = (
        found.metadata.namespace.as_deref().unwrap_or_default(),
        found.metadata.name.as_deref().unwrap_or_default(),
    );
    let mut query =
        format!("follow={}&previous={}&timestamps={}", args.follow, args.previous, args.timestamps);
    if let Some(lines) = args.tail {
        query.push_str(&format!("&tailLines={lines}"));
    }
    if let Some(seconds) = args.since {
        query.push_str(&format!("&sinceSeconds={seconds}"));
    }
    let path = format!(
        "/containerLogs/{}/{}/{}?{query}",
        client::escaped(namespace),
        client::escaped(name),
        client::escaped(&container)
    );
    let mut out = std::io::stdout().lock();
    client::get(&args.socket.socket, &path, |chunk| {
        let _ = out.write_all(chunk).and_then(|()| out.flush());
    })
    .await
}

/// The one pod that `wanted` (`[namespace/]name`) means. A static pod is found by the name in its manifest too.
fn find<'a>(pods: &'a [Pod], wanted: &str) -> anyhow::Result<&'a Pod> {
    let (namespace, name) = match wanted.split_once('/') {
        Some((namespace, name)) => (Some(namespace), name),
        None => (None, wanted),
    };
    let fits = |pod: &&Pod| {
        let own = pod.metadata.name.as_deref().unwrap_or_default();
        let node = pod::spec(pod).node_name.as_deref().unwrap_or_default().to_lowercase();
        let in_manifest = own.strip_suffix(&node).and_then(|own| own.strip_suffix('-'));
        (own == name || in_manifest == Some(name))
            && namespace.is_none_or(|ns| pod.metadata.namespace.as_deref() == Some(ns))
    };
    let mut found = pods.iter().filter(fits);
    match (found.next(), found.next()) {
        (Some(pod), None) => Ok(pod),
        (Some(_), Some(_)) => bail!("several pods are called {wanted:?}; say NAMESPACE/NAME"),
        (None, _) => bail!("there is no pod {wanted:?} here; `berth pods` lists those there are"),
    }
}
