//! Namespaces, configuration, services, events, leases and the like.

use jiff::Timestamp;
use serde_json::Value;

use super::{AGE, Printer, age, count, integer, or, text, wide};
use crate::object;

pub(crate) const NAMESPACES: Printer = Printer {
    columns: &[text("Status"), AGE],
    cells: |namespace, now| vec![object::text(namespace, "/status/phase").into(), age(namespace, now)],
};

pub(crate) const CONFIG_MAPS: Printer = Printer {
    columns: &[integer("Data"), AGE],
    cells: |map, now| vec![(count(map, "/data") + count(map, "/binaryData")).into(), age(map, now)],
};

pub(crate) const SECRETS: Printer = Printer {
    columns: &[text("Type"), integer("Data"), AGE],
    cells: |secret, now| {
        vec![object::text(secret, "/type").into(), count(secret, "/data").into(), age(secret, now)]
    },
};

pub(crate) const SERVICE_ACCOUNTS: Printer = Printer {
    columns: &[integer("Secrets"), AGE],
    cells: |account, now| vec![count(account, "/secrets").into(), age(account, now)],
};

pub(crate) const LEASES: Printer = Printer {
    columns: &[text("Holder"), AGE],
    cells: |lease, now| vec![object::text(lease, "/spec/holderIdentity").into(), age(lease, now)],
};

pub(crate) const RUNTIME_CLASSES: Printer = Printer {
    columns: &[text("Handler"), AGE],
    cells: |class, now| vec![object::text(class, "/handler").into(), age(class, now)],
};

pub(crate) const PRIORITY_CLASSES: Printer = Printer {
    columns: &[integer("Value"), text("Global-Default"), AGE, text("PreemptionPolicy")],
    cells: |class, now| {
        vec![
            class["value"].clone(),
            object::flag(class, "/globalDefault").to_string().into(),
            age(class, now),
            or(object::text(class, "/preemptionPolicy"), "PreemptLowerPriority").into(),
        ]
    },
};

pub(crate) const SERVICES: Printer = Printer {
    columns: &[text("Type"), text("Cluster-IP"), text("External-IP"), text("Port(s)"), AGE, wide("Selector")],
    cells: service,
};

fn service(service: &Value, now: Timestamp) -> Vec<Value> {
    let kind = object::text(service, "/spec/type");
    let external = match kind {
        "ExternalName" => object::text(service, "/spec/externalName").to_owned(),
        "LoadBalancer" => "<pending>".to_owned(),
        _ => or(&super::joined(service, "/spec/externalIPs"), "<none>").to_owned(),
    };
    let ports: Vec<String> = object::list(service, "/spec/ports")
        .iter()
        .map(|port| {
            let protocol = object::text(port, "/protocol");
            match object::number(port, "/nodePort") {
                Some(node) if node != 0 => format!("{}:{node}/{protocol}", port["port"]),
                _ => format!("{}/{protocol}", port["port"]),
            }
        })
        .collect();
    let selector: Vec<String> = service["spec"]["selector"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    vec![
        kind.into(),
        or(object::text(service, "/spec/clusterIP"), "<none>").into(),
        external.into(),
        or(&ports.join(","), "<none>").into(),
        age(service, now),
        or(&selector.join(","), "<none>").into(),
    ]
}

pub(crate) const EVENTS: Printer = Printer {
    columns: &[
        text("Last Seen"),
        text("Type"),
        text("Reason"),
        text("Object"),
        wide("Subobject"),
        wide("Source"),
        text("Message"),
        wide("First Seen"),
        wide("Count"),
    ],
    cells: event,
};

fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let field = |pointer: &str| object::text(event, pointer);
    let first = or(field("/firstTimestamp"), field("/eventTime"));
    let last = [field("/series/lastObservedTime"), field("/lastTimestamp"), first];
    let last = last.into_iter().find(|time| !time.is_empty()).unwrap_or_default();
    let kind = field("/involvedObject/kind").to_lowercase();
    let source = or(field("/source/component"), field("/reportingComponent"));
    let host = or(field("/source/host"), field("/reportingInstance"));
    let repeated =
        object::number(event, "/series/count").or(object::number(event, "/count")).unwrap_or(1).max(1);
    vec![
        crate::time::age(last, now).into(),
        field("/type").into(),
        field("/reason").into(),
        format!("{kind}/{}", field("/involvedObject/name")).into(),
        field("/involvedObject/fieldPath").into(),
        if host.is_empty() { source.to_owned() } else { format!("{source}, {host}") }.into(),
        field("/message").trim().into(),
        crate::time::age(first, now).into(),
        repeated.to_string().into(),
    ]
}

pub(crate) const SIGNING_REQUESTS: Printer = Printer {
    columns: &[AGE, text("SignerName"), text("Requestor"), text("RequestedDuration"), text("Condition")],
    cells: signing_request,
};

fn signing_request(request: &Value, now: Timestamp) -> Vec<Value> {
    let mut condition = Vec::new();
    for known in ["Approved", "Denied", "Failed"] {
        if object::list(request, "/status/conditions").iter().any(|one| one["type"] == known) {
            condition.push(known);
        }
    }
    if condition.is_empty() {
        condition.push("Pending");
    }
    if !object::text(request, "/status/certificate").is_empty() {
        condition.push("Issued");
    }
    let duration = object::number(request, "/spec/expirationSeconds");
    vec![
        age(request, now),
        object::text(request, "/spec/signerName").into(),
        object::text(request, "/spec/username").into(),
        duration.map_or("<none>".to_owned(), crate::time::span).into(),
        condition.join(",").into(),
    ]
}
