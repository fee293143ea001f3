//! `berth why`.

use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use server::Problem;
use server::why::Why;

use super::pods::problem_lines;
use super::{Socket, client};
use crate::console::tell;

#[derive(Args)]
pub(super) struct WhyArgs {
    /// The pod, as NAME or NAMESPACE/NAME; if left out, all that are held up, and what else is wrong
    pod: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    socket: Socket,
}

pub(super) fn run(args: &WhyArgs) -> anyhow::Result<ExitCode> {
    let path = match &args.pod {
        Some(pod) => format!("/why?pod={}", client::escaped(pod)),
        None => "/why".to_owned(),
    };
    let mut all: Vec<Why> = client::block_on(client::get_json(&args.socket.socket, &path))?;
    match &args.pod {
        Some(pod) if all.is_empty() => bail!(
            "there is no pod {pod:?} here; `berth pods` lists those there are, and manifests with problems"
        ),
        Some(_) => {}
        None => all.retain(|why| why.step != "Running" || !why.failures.is_empty()),
    }
    if args.json {
        tell(&format!("{}\n", serde_json::to_string_pretty(&all)?));
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        tell("No pod is held up.\n");
    }
    for why in &all {
        tell(&text(why));
    }
    if args.pod.is_none() {
        let problems: Vec<Problem> = client::block_on(client::get_json(&args.socket.socket, "/problems"))?;
        tell(&problem_lines(&problems));
    }
    Ok(ExitCode::SUCCESS)
}

fn text(why: &Why) -> String {
    let mut out = format!("{}/{}  ({})\n", why.namespace, why.name, why.phase);
    out.push_str(&format!("  Step:     {}", why.step));
    if let Some(subject) = &why.subject {
        out.push_str(&format!(" of {subject:?}"));
    }
    out.push_str(&format!(", since {}\n", why.since));
    if !why.waiting_for.is_empty() {
        out.push_str(&format!("  Waits for: {}\n", why.waiting_for));
    }
    for failure in &why.failures {
        let container =
            failure.container.as_ref().map(|name| format!("container {name:?}: ")).unwrap_or_default();
        out.push_str(&format!("  {container}{}: {}\n", failure.reason, failure.message));
        if let Some(retry) = &failure.retry_at {
            out.push_str(&format!("    tried again at {retry}\n"));
        }
    }
    out.push_str(&format!("  Advice:   {}\n", why.advice));
    if !why.events.is_empty() {
        out.push_str("  Events:\n");
        for event in &why.events {
            out.push_str(&format!("    {event}\n"));
        }
    }
    out
}
