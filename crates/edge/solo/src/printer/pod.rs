//! Pods: the one column that tells what is the matter, and the others.

use jiff::Timestamp;
use serde_json::Value;

use super::{AGE, Column, Printer, age, or, text, wide};
use crate::object;

pub(crate) const PODS: Printer = Printer { columns: COLUMNS, cells };

const COLUMNS: &[Column] = &[
    text("Ready"),
    text("Status"),
    text("Restarts"),
    AGE,
    wide("IP"),
    wide("Node"),
    wide("Nominated Node"),
    wide("Readiness Gates"),
];

fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let counts = counts(pod, now);
    vec![
        format!("{}/{}", counts.ready, counts.total).into(),
        status(pod).into(),
        counts.restarts.into(),
        age(pod, now),
        or(object::text(pod, "/status/podIP"), "<none>").into(),
        or(object::text(pod, "/spec/nodeName"), "<none>").into(),
        or(object::text(pod, "/status/nominatedNodeName"), "<none>").into(),
        gates(pod).into(),
    ]
}

struct Counts {
    ready: usize,
    total: usize,
    restarts: String,
}

fn is_sidecar(pod: &Value, name: &str) -> bool {
    object::list(pod, "/spec/initContainers")
        .iter()
        .any(|container| container["name"] == name && container["restartPolicy"] == "Always")
}

fn counts(pod: &Value, now: Timestamp) -> Counts {
    let sidecars: Vec<&Value> = object::list(pod, "/status/initContainerStatuses")
        .iter()
        .filter(|status| is_sidecar(pod, object::text(status, "/name")))
        .collect();
    let spec_sidecars = object::list(pod, "/spec/initContainers")
        .iter()
        .filter(|container| container["restartPolicy"] == "Always")
        .count();
    let statuses: Vec<&Value> =
        object::list(pod, "/status/containerStatuses").iter().chain(sidecars.iter().copied()).collect();
    // Until the pod is initialized, the restarts of its init containers are what one looks at.
    let counted: Vec<&Value> = if initializing(pod).is_some() {
        object::list(pod, "/status/initContainerStatuses").iter().collect()
    } else {
        statuses.clone()
    };
    let restarts: i64 = counted.iter().filter_map(|status| object::number(status, "/restartCount")).sum();
    let last = counted
        .iter()
        .filter_map(|status| status.pointer("/lastState/terminated/finishedAt")?.as_str())
        .max()
        .filter(|_| restarts > 0);
    Counts {
        ready: statuses
            .iter()
            .filter(|status| object::flag(status, "/ready") && status.pointer("/state/running").is_some())
            .count(),
        total: object::list(pod, "/spec/containers").len() + spec_sidecars,
        restarts: match last {
            Some(at) => format!("{restarts} ({} ago)", crate::time::age(at, now)),
            None => restarts.to_string(),
        },
    }
}

/// What holds up the initialization, if something does.
fn initializing(pod: &Value) -> Option<String> {
    let total = object::list(pod, "/spec/initContainers").len();
    for (index, status) in object::list(pod, "/status/initContainerStatuses").iter().enumerate() {
        let sidecar = is_sidecar(pod, object::text(status, "/name"));
        if object::number(status, "/state/terminated/exitCode") == Some(0)
            || (sidecar && object::flag(status, "/started"))
        {
            continue;
        }
        if status.pointer("/state/terminated").is_some() {
            return Some(format!("Init:{}", terminated(status)));
        }
        let waiting = object::text(status, "/state/waiting/reason");
        if !waiting.is_empty() && waiting != "PodInitializing" {
            return Some(format!("Init:{waiting}"));
        }
        return Some(format!("Init:{index}/{total}"));
    }
    None
}

fn terminated(status: &Value) -> String {
    let reason = object::text(status, "/state/terminated/reason");
    if !reason.is_empty() {
        return reason.to_owned();
    }
    match object::number(status, "/state/terminated/signal") {
        Some(signal) if signal != 0 => format!("Signal:{signal}"),
        _ => format!("ExitCode:{}", object::number(status, "/state/terminated/exitCode").unwrap_or(0)),
    }
}

fn status(pod: &Value) -> String {
    let mut reason = or(object::text(pod, "/status/reason"), object::text(pod, "/status/phase")).to_owned();
    if object::list(pod, "/status/conditions")
        .iter()
        .any(|condition| condition["type"] == "PodScheduled" && condition["reason"] == "SchedulingGated")
    {
        "SchedulingGated".clone_into(&mut reason);
    }
    match initializing(pod) {
        Some(init) => reason = init,
        None => {
            let mut running = false;
            for status in object::list(pod, "/status/containerStatuses").iter().rev() {
                let waiting = object::text(status, "/state/waiting/reason");
                if !waiting.is_empty() {
                    waiting.clone_into(&mut reason);
                } else if status.pointer("/state/terminated").is_some() {
                    reason = terminated(status);
                } else if object::flag(status, "/ready") && status.pointer("/state/running").is_some() {
                    running = true;
                }
            }
            if reason == "Completed" && running {
                let ready = object::list(pod, "/status/conditions")
                    .iter()
                    .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
                reason = if ready { "Running" } else { "NotReady" }.to_owned();
            }
        }
    }
    if object::is_deleting(pod) {
        if object::text(pod, "/status/reason") == "NodeLost" {
            "Unknown".clone_into(&mut reason);
        } else if !crate::rules::is_terminal(pod) {
            "Terminating".clone_into(&mut reason);
        }
    }
    reason
}

fn gates(pod: &Value) -> String {
    let gates = object::list(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let holds = |gate: &&Value| {
        object::list(pod, "/status/conditions")
            .iter()
            .any(|condition| condition["type"] == gate["conditionType"] && condition["status"] == "True")
    };
    format!("{}/{}", gates.iter().filter(holds).count(), gates.len())
}
