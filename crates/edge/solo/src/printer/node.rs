//! Nodes.

use jiff::Timestamp;
use serde_json::Value;

use super::{AGE, Printer, age, or, text, wide};
use crate::object;

pub(crate) const NODES: Printer = Printer {
    columns: &[
        text("Status"),
        text("Roles"),
        AGE,
        text("Version"),
        wide("Internal-IP"),
        wide("External-IP"),
        wide("OS-Image"),
        wide("Kernel-Version"),
        wide("Container-Runtime"),
    ],
    cells,
};

/// Labels whose suffix names a role.
const ROLE: &str = "node-role.kubernetes.io/";

fn cells(node: &Value, now: Timestamp) -> Vec<Value> {
    let info =
        |field: &str| Value::from(or(object::text(node, &format!("/status/nodeInfo/{field}")), "<unknown>"));
    vec![
        status(node).into(),
        roles(node).into(),
        age(node, now),
        object::text(node, "/status/nodeInfo/kubeletVersion").into(),
        address(node, "InternalIP").into(),
        address(node, "ExternalIP").into(),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn status(node: &Value) -> String {
    let ready =
        object::list(node, "/status/conditions").iter().find(|condition| condition["type"] == "Ready");
    let mut status = match ready.map(|condition| condition["status"] == "True") {
        Some(true) => "Ready",
        Some(false) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if object::flag(node, "/spec/unschedulable") {
        status += ",SchedulingDisabled";
    }
    status
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object();
    let mut roles: Vec<&str> = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| match key.strip_prefix(ROLE) {
            Some(role) if !role.is_empty() => Some(role),
            _ if key == "kubernetes.io/role" => value.as_str(),
            _ => None,
        })
        .collect();
    roles.sort_unstable();
    or(&roles.join(","), "<none>").to_owned()
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let addresses = object::list(node, "/status/addresses");
    addresses
        .iter()
        .find(|address| address["type"] == kind)
        .map_or("<none>", |found| object::text(found, "/address"))
}
