//! The objects of `metrics.k8s.io/v1beta1`.

use jiff::Timestamp;
use serde_json::{Value, json};
use types::Quantity;

use super::Compared;
use super::rate::Usage;
use crate::object;

/// The `NodeMetrics` of a Node; none if there is nothing to say yet.
pub(crate) fn node_metrics(node: &Value, compared: &Compared) -> Option<Value> {
    let usage = Usage::of(Some(&compared.before.node), &compared.now.node)?;
    let mut metrics = of(node, "NodeMetrics", usage.at, usage.window);
    metrics["usage"] = used(&usage);
    Some(metrics)
}

/// The `PodMetrics` of a Pod; none if there is nothing to say of one of its containers that run, or none of them runs.
pub(crate) fn pod_metrics(pod: &Value, compared: &Compared) -> Option<Value> {
    let key = (object::namespace(pod).to_owned(), object::name(pod).to_owned());
    let containers = compared
        .now
        .pods
        .get(&key)?
        .iter()
        .map(|(name, now)| Some((name, Usage::of(compared.before.container(&key, name), now)?)));
    let containers: Vec<(&String, Usage)> = containers.collect::<Option<_>>()?;
    let at = containers.iter().map(|(_, usage)| usage.at).min()?;
    let window = containers.iter().map(|(_, usage)| usage.window).max()?;
    let mut metrics = of(pod, "PodMetrics", at, window);
    let containers = containers.iter().map(|(name, usage)| json!({"name": name, "usage": used(usage)}));
    metrics["containers"] = containers.collect::<Vec<_>>().into();
    Some(metrics)
}

/// What both have. `at` and `window` are in milliseconds.
fn of(object: &Value, kind: &str, at: i64, window: i64) -> Value {
    let mut metadata = json!({"name": object::name(object)});
    if !object::namespace(object).is_empty() {
        metadata["namespace"] = object::namespace(object).into();
    }
    if let Some(labels) = object.pointer("/metadata/labels") {
        metadata["labels"] = labels.clone();
    }
    metadata["creationTimestamp"] = crate::time::now().into();
    let at = Timestamp::from_millisecond(at).unwrap_or(Timestamp::UNIX_EPOCH);
    json!({"kind": kind, "apiVersion": "metrics.k8s.io/v1beta1", "metadata": metadata,
        "timestamp": crate::time::seconds(at), "window": duration(window)})
}

fn used(usage: &Usage) -> Value {
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let (cpu, memory) = (Quantity::nano(signed(usage.cpu)), Quantity::bytes(signed(usage.memory)));
    json!({"cpu": cpu.to_string(), "memory": memory.to_string()})
}

/// Milliseconds as Go writes a `Duration`, as far as readers need it.
fn duration(milliseconds: i64) -> String {
    let (whole, rest) = (milliseconds / 1000, milliseconds % 1000);
    if rest == 0 { format!("{whole}s") } else { format!("{whole}.{rest:03}s") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::usage::Reading;

    fn compared(before: &str, now: &str) -> Compared {
        Compared { before: Arc::new(Reading::parse(before)), now: Arc::new(Reading::parse(now)) }
    }

    #[test]
    fn nodes() {
        let node = json!({"metadata": {"name": "n", "uid": "u", "labels": {"a": "b"}}});
        let compared = compared(
            "node_cpu_usage_seconds_total 10 1772366400000",
            "node_cpu_usage_seconds_total 11 1772366410500\nnode_memory_working_set_bytes 1048576 1772366410500",
        );
        let mut metrics = node_metrics(&node, &compared).unwrap();
        metrics["metadata"]["creationTimestamp"] = Value::Null;
        let expected = json!({"kind": "NodeMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {"name": "n", "labels": {"a": "b"}, "creationTimestamp": null},
            "timestamp": "2026-03-01T12:00:10Z", "window": "10.500s",
            "usage": {"cpu": "95238095n", "memory": "1Mi"}});
        assert_eq!(metrics, expected);
    }

    #[test]
    fn pods() {
        let pod = json!({"metadata": {"name": "p", "namespace": "d"}});
        let sample = |name: &str, container: &str, value: &str| {
            format!("container_{name}{{container=\"{container}\",namespace=\"d\",pod=\"p\"}} {value}\n")
        };
        let before =
            sample("cpu_usage_seconds_total", "a", "1 1000") + &sample("start_time_seconds", "a", "0.5");
        let mut now = sample("cpu_usage_seconds_total", "a", "2 3000")
            + &sample("start_time_seconds", "a", "0.5")
            + &sample("memory_working_set_bytes", "a", "4096 3000");
        let metrics = pod_metrics(&pod, &compared(&before, &now)).unwrap();
        let expected = json!([{"name": "a", "usage": {"cpu": "500m", "memory": "4Ki"}}]);
        assert_eq!((&metrics["containers"], &metrics["window"]), (&expected, &json!("2s")));
        // One that has just begun counts from then on; one of which something is not known keeps back the whole pod.
        now += &sample("cpu_usage_seconds_total", "b", "0.1 2900");
        now += &sample("memory_working_set_bytes", "b", "1 2900");
        assert_eq!(pod_metrics(&pod, &compared(&before, &now)), None);
        now += &sample("start_time_seconds", "b", "2.5");
        let metrics = pod_metrics(&pod, &compared(&before, &now)).unwrap();
        assert_eq!(metrics["containers"][1]["usage"]["cpu"], "250m");
        assert_eq!(metrics["timestamp"], "1970-01-01T00:00:02Z");
        assert_eq!(pod_metrics(&pod, &compared(&before, "")), None, "nothing of it runs");
    }
}
