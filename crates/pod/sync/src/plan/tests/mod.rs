//! Tests of planning: every rule as a named case, and properties over a simulated runtime.

mod cases;
mod properties;
mod simulator;
mod termination;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use types::observed::{Exit, NamespaceMode};
use types::{
    ContainerState, ObservedContainer, ObservedPod, ObservedSandbox, Pod, PodRef, SandboxState, hash,
};

use super::{Plan, Sandbox};

/// A pod with these `spec` fields besides names: containers are given as `name` or as whole objects.
fn pod(spec: Value) -> Pod {
    let mut spec = spec;
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec[field].as_array_mut().into_iter().flatten() {
            if container.is_string() {
                *container = json!({"name": container.clone()});
            }
            container["image"] = json!("image");
        }
        if spec[field].is_null() {
            spec.as_object_mut().unwrap().remove(field);
        }
    }
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "ns", "uid": "u"},
        "spec": spec,
    }))
    .unwrap()
}

fn second(n: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(n)
}

fn sandbox(id: &str, attempt: u32, ready: bool) -> ObservedSandbox {
    ObservedSandbox {
        id: id.into(),
        attempt,
        state: if ready { SandboxState::Ready } else { SandboxState::NotReady },
        created_at: second(0),
        ips: vec!["10.0.0.1".parse().unwrap()],
        network: Some(NamespaceMode::Pod),
        runtime_handler: "".into(),
    }
}

fn exited(code: i32) -> ContainerState {
    ContainerState::Exited(Exit {
        code,
        reason: String::new(),
        message: String::new(),
        started_at: Some(second(1)),
        finished_at: second(2),
    })
}

fn container(sandbox: &str, name: &str, count: u32, state: ContainerState) -> ObservedContainer {
    ObservedContainer {
        id: format!("{name}.{count}").into(),
        name: name.into(),
        sandbox: sandbox.into(),
        state,
        created_at: second(0),
        image: "image".to_owned(),
        image_ref: String::new(),
        image_id: String::new(),
        hash: hash::container_hash(name, "image"),
        restart_count: count,
        log_path: String::new(),
        mounts: Vec::new(),
        user: None,
        resources: None,
        annotations: Arc::default(),
    }
}

/// The runtime's state from a line in the order of time: `s0+` is a ready sandbox, `s0-` one that is not; what
/// follows lives in it: `web=run`, `web=1` (exit code), `web=new` (created), `web=?` (unknown). The n-th instance of
/// `web` has the id `web.n` and n as its restart count.
fn observed(line: &str) -> ObservedPod {
    let mut all = ObservedPod::absent(PodRef::of(&pod(json!({"containers": []}))));
    let mut counts = BTreeMap::new();
    for word in line.split_whitespace() {
        if let Some((name, state)) = word.split_once('=') {
            let state = match state {
                "run" => ContainerState::Running { started_at: second(1) },
                "new" => ContainerState::Created,
                "?" => ContainerState::Unknown,
                code => exited(code.parse().unwrap()),
            };
            let count = counts.entry(name).or_insert(0);
            let current = all.sandboxes[0].id.clone();
            all.containers.insert(0, container(current.as_str(), name, *count, state));
            *count += 1;
        } else {
            let (id, ready) = word.split_at(word.len() - 1);
            let attempt = all.sandboxes.len().try_into().unwrap();
            all.sandboxes.insert(0, sandbox(id, attempt, ready == "+"));
        }
    }
    all
}

/// A plan as one line.
fn line(plan: &Plan) -> String {
    let mut out = String::new();
    if plan.kill_pod {
        out.push_str(" kill-pod");
    }
    for id in &plan.stop_sandboxes {
        write!(out, " stop:{id}").unwrap();
    }
    for kill in &plan.kill {
        write!(out, " kill:{}({:?})", kill.id, kill.reason).unwrap();
    }
    for id in &plan.remove {
        write!(out, " remove:{id}").unwrap();
    }
    if let Sandbox::Create { attempt } = plan.sandbox {
        write!(out, " create:{attempt}").unwrap();
    }
    for start in &plan.start {
        write!(out, " start:{}", start.name).unwrap();
        if let Some(count) = start.restart_count {
            write!(out, "#{count}").unwrap();
        }
    }
    for waiting in &plan.back_off {
        write!(out, " wait:{}", waiting.name).unwrap();
    }
    out.trim_start().to_owned()
}
