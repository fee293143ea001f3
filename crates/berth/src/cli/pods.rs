//! `berth pods`.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use server::Problem;
use types::{ContainerKind, Pod, pod};

use super::{Socket, client};
use crate::console::tell;

#[derive(Args)]
pub(super) struct PodsArgs {
    /// How to print
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    socket: Socket,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Wide,
    Json,
    Yaml,
}

/// The list of pods as the API has it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PodList {
    kind: String,
    api_version: String,
    pub(super) items: Vec<Pod>,
}

pub(super) fn run(args: &PodsArgs) -> anyhow::Result<ExitCode> {
    let socket = &args.socket.socket;
    let (list, problems): (PodList, Vec<Problem>) = client::block_on(async {
        Ok((client::get_json(socket, "/pods").await?, client::get_json(socket, "/problems").await?))
    })?;
    match args.output {
        Output::Json => tell(&format!("{}\n", serde_json::to_string_pretty(&list)?)),
        Output::Yaml => tell(&serde_saphyr::to_string(&list)?),
        Output::Table | Output::Wide => {
            tell(&table(&list.items, args.output == Output::Wide, Timestamp::now()));
            tell(&problem_lines(&problems));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(pods: &[Pod], wide: bool, now: Timestamp) -> String {
    if pods.is_empty() {
        return "No pods on this node.\n".to_owned();
    }
    let mut head = vec!["NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"];
    if wide {
        head.extend(["IP", "QOS", "SOURCE", "UID"]);
    }
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    rows.extend(pods.iter().map(|pod| row(pod, wide, now)));
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    rows.iter()
        .map(|row| {
            let cells: Vec<_> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            format!("{}\n", cells.join("   ").trim_end())
        })
        .collect()
}

fn row(pod: &Pod, wide: bool, now: Timestamp) -> Vec<String> {
    let status = pod.status.clone().unwrap_or_default();
    // Sidecars count, as kubectl has it; other init containers do not.
    let counted: Vec<_> = pod::containers(pod)
        .filter(|(kind, _)| matches!(kind, ContainerKind::Sidecar | ContainerKind::Regular))
        .collect();
    let statuses =
        [&status.init_container_statuses, &status.container_statuses].into_iter().flatten().flatten();
    let containers: Vec<_> = statuses
        .filter(|status| counted.iter().any(|(_, container)| container.name == status.name))
        .collect();
    let ready = containers.iter().filter(|container| container.ready).count();
    let restarts: i32 = containers.iter().map(|container| container.restart_count).sum();
    let age = status
        .start_time
        .as_ref()
        .map_or_else(|| "-".to_owned(), |start| age(now.duration_since(start.0).as_secs()));
    let mut row = vec![
        pod.metadata.namespace.clone().unwrap_or_default(),
        pod.metadata.name.clone().unwrap_or_default(),
        format!("{ready}/{}", counted.len()),
        state(pod),
        restarts.to_string(),
        age,
    ];
    if wide {
        row.push(status.pod_ip.unwrap_or_else(|| "-".to_owned()));
        row.push(status.qos_class.unwrap_or_default());
        row.push(pod::annotation(pod, types::labels::CONFIG_SOURCE).unwrap_or("-").to_owned());
        row.push(pod.metadata.uid.clone().unwrap_or_default());
    }
    row
}

/// The one word that says most about a pod, as kubectl's column STATUS has it.
fn state(pod: &Pod) -> String {
    let Some(status) = &pod.status else { return "Pending".to_owned() };
    if let Some(reason) = &status.reason {
        return reason.clone();
    }
    let phase = status.phase.clone().unwrap_or_else(|| "Pending".to_owned());
    let init = status.init_container_statuses.iter().flatten();
    let total = init.clone().count();
    for (index, container) in init.enumerate() {
        let Some(state) = &container.state else { continue };
        if let Some(waiting) = state.waiting.as_ref().and_then(|waiting| waiting.reason.as_deref())
            && waiting != "PodInitializing"
        {
            return format!("Init:{waiting}");
        }
        if let Some(ended) = state.terminated.as_ref().filter(|ended| ended.exit_code != 0) {
            return format!("Init:{}", ended.reason.as_deref().unwrap_or("Error"));
        }
        if state.running.is_some() && container.started != Some(true) {
            return format!("Init:{index}/{total}");
        }
    }
    let mut word = None;
    for container in status.container_statuses.iter().flatten() {
        let Some(state) = &container.state else { continue };
        if let Some(reason) = state.waiting.as_ref().and_then(|waiting| waiting.reason.clone()) {
            word = Some(reason);
        } else if let Some(ended) = &state.terminated {
            word = word.or_else(|| ended.reason.clone());
        }
    }
    match word {
        Some(word) if phase != "Running" || word != "Completed" => word,
        _ => phase,
    }
}

/// A duration in seconds as kubectl writes ages.
fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{}s", seconds.max(0)),
        120..600 => match (seconds / 60, seconds % 60) {
            (minutes, 0) => format!("{minutes}m"),
            (minutes, seconds) => format!("{minutes}m{seconds}s"),
        },
        600..10_800 => format!("{}m", seconds / 60),
        10_800..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// What is wrong with manifests and with the API server, a line each.
pub(super) fn problem_lines(problems: &[Problem]) -> String {
    let mut out = String::new();
    for problem in problems {
        if out.is_empty() {
            out.push_str("\nProblems:\n");
        }
        let mut place = problem.origin.clone();
        for number in [problem.line, problem.column].into_iter().flatten() {
            place.push_str(&format!(":{number}"));
        }
        let severity = if problem.warning { "warning" } else { "error" };
        out.push_str(&format!("  {place}: {severity}: {}: {}\n", problem.reason, problem.message));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_status(status: &serde_json::Value) -> Pod {
        serde_json::from_value(
            json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c"}]}, "status": status}),
        )
        .unwrap()
    }

    #[test]
    fn one_word() {
        let container = |state: serde_json::Value| json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
        for (status, expected) in [
            (json!({}), "Pending"),
            (json!({"phase": "Failed", "reason": "Evicted"}), "Evicted"),
            (
                json!({"phase": "Running", "containerStatuses": [container(json!({"waiting": {"reason": "CrashLoopBackOff"}}))]}),
                "CrashLoopBackOff",
            ),
            (
                json!({"phase": "Succeeded", "containerStatuses": [container(json!({"terminated": {"exitCode": 0, "reason": "Completed"}}))]}),
                "Completed",
            ),
            (
                json!({"phase": "Pending", "initContainerStatuses": [container(json!({"running": {}}))]}),
                "Init:0/1",
            ),
            (
                json!({"phase": "Pending", "initContainerStatuses": [container(json!({"waiting": {"reason": "ErrImagePull"}}))]}),
                "Init:ErrImagePull",
            ),
        ] {
            assert_eq!(state(&with_status(&status)), expected, "{status}");
        }
    }

    #[test]
    fn ages() {
        for (seconds, text) in
            [(-3, "0s"), (119, "119s"), (125, "2m5s"), (3600, "60m"), (10_800, "3h"), (200_000, "2d")]
        {
            assert_eq!(age(seconds), text);
        }
    }
}
