//! What of a status is news to the API server, and the strategic merge patch that tells it. Pure.

use k8s_openapi::api::core::v1::PodStatus;
use serde_json::{Map, Value, json};
use types::Quantity;

use crate::condition::{DISRUPTION_TARGET, OWN};

/// The fields that the node agent writes and that a patch replaces. Lists of container statuses are among them: the API
/// does not merge them. What is not here is not ours: others' conditions, `resourceClaimStatuses`, `nominatedNodeName`.
const FIELDS: [&str; 9] = [
    "phase",
    "reason",
    "message",
    "hostIP",
    "podIP",
    "qosClass",
    "initContainerStatuses",
    "containerStatuses",
    "ephemeralContainerStatuses",
];

/// The lists that the API merges by `ip`. Their order means something, so that they are replaced as a whole.
const ADDRESSES: [&str; 2] = ["hostIPs", "podIPs"];

const SINCE: &str = "lastTransitionTime";

/// States of a container: their presence says something even when they are empty.
const STATES: [&str; 3] = ["waiting", "running", "terminated"];

/// The patch, as `{"status": …}`, by which the status that the API server has (`server`) comes to say what `ours` says;
/// `None` if it does already.
#[must_use]
pub fn patch(server: &PodStatus, ours: &PodStatus) -> Option<Value> {
    let (old, new) = (canonical(json!(server)), canonical(json!(ours)));
    let mut changed = Map::new();
    for field in FIELDS {
        if old.get(field) != new.get(field) {
            changed.insert(field.to_owned(), new.get(field).cloned().unwrap_or_default());
        }
    }
    // Set once: it is when the pod was taken up.
    if old.get("startTime").is_none()
        && let Some(start) = new.get("startTime")
    {
        changed.insert("startTime".to_owned(), start.clone());
    }
    // Whoever has seen a later version of the pod knows better.
    if ours.observed_generation > server.observed_generation {
        changed.insert("observedGeneration".to_owned(), json!(ours.observed_generation));
    }
    for field in ADDRESSES {
        if old.get(field) != new.get(field) {
            let mut list = new.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
            if old.get(field).is_some() {
                list.push(json!({"$patch": "replace"}));
            }
            changed.insert(field.to_owned(), list.into());
        }
    }
    let conditions = conditions(&old, &new);
    if !conditions.is_empty() {
        changed.insert("conditions".to_owned(), conditions.into());
    }
    (!changed.is_empty()).then(|| json!({ "status": changed }))
}

/// What is to be said of conditions: those of ours that are other ones, and those that are gone.
fn conditions(old: &Value, new: &Value) -> Vec<Value> {
    let find = |status: &Value, kind: &str| {
        let all = status.get("conditions").and_then(Value::as_array).into_iter().flatten();
        all.into_iter().find(|condition| condition["type"] == kind).cloned()
    };
    let kinds = OWN.into_iter().chain([DISRUPTION_TARGET]);
    kinds
        .filter_map(|kind| match (find(old, kind), find(new, kind)) {
            (None, None) => None,
            (Some(_), None) if kind == DISRUPTION_TARGET => None,
            (Some(_), None) => Some(json!({"$patch": "delete", "type": kind})),
            (None, Some(new)) => Some(new),
            (Some(old), Some(mut new)) => {
                // The time is that of the status: a restart, or a change that was taken back unsaid, is none.
                if old["status"] == new["status"]
                    && let Some(since) = old.get(SINCE)
                {
                    new[SINCE] = since.clone();
                }
                if old == new {
                    return None;
                }
                // A field that is not there any more has to be named.
                for (key, _) in old.as_object().into_iter().flatten() {
                    if new.get(key).is_none() {
                        new[key] = Value::Null;
                    }
                }
                Some(new)
            }
        })
        .collect()
}

/// The form in which two statuses are equal that say the same, whoever wrote them: without what is empty, and amounts in
/// the API's own spelling.
fn canonical(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.into_iter().filter_map(|(key, value)| {
                let value = match key.as_str() {
                    "limits" | "requests" | "allocatedResources" => amounts(value),
                    _ => canonical(value),
                };
                let empty = match &value {
                    Value::Null => true,
                    Value::Object(map) => map.is_empty() && !STATES.contains(&key.as_str()),
                    Value::Array(list) => list.is_empty(),
                    _ => false,
                };
                (!empty).then_some((key, value))
            });
            Value::Object(kept.collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(canonical).collect()),
        plain => plain,
    }
}

fn amounts(value: Value) -> Value {
    let Value::Object(map) = value else { return value };
    let spelled = map.into_iter().map(|(name, amount)| {
        let quantity = amount.as_str().and_then(|text| text.parse::<Quantity>().ok());
        (name, quantity.map_or(amount, |quantity| quantity.to_string().into()))
    });
    Value::Object(spelled.collect())
}

#[cfg(test)]
mod tests;
