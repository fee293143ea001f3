//! Which objects a pod refers to, so that its node may read them.

use serde_json::Value;

/// Whether the pod's spec refers to the Secret `name` of its namespace.
pub(super) fn secret(pod: &Value, name: &str) -> bool {
    any(&pod["spec"], &|key, value| match key {
        "secretKeyRef" | "secretRef" | "nodePublishSecretRef" => value["name"] == name,
        "imagePullSecrets" => value.as_array().into_iter().flatten().any(|secret| secret["name"] == name),
        // A volume names it in one way, a projected source in another; some plugins have it as plain text.
        "secret" => value["secretName"] == name || value["name"] == name,
        "secretName" => value == name,
        _ => false,
    })
}

/// Whether the pod's spec refers to the ConfigMap `name` of its namespace.
pub(super) fn config_map(pod: &Value, name: &str) -> bool {
    any(&pod["spec"], &|key, value| {
        matches!(key, "configMapKeyRef" | "configMapRef" | "configMap") && value["name"] == name
    })
}

/// Whether any key of any map below `value` passes `test` with its value.
fn any(value: &Value, test: &dyn Fn(&str, &Value) -> bool) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(key, value)| test(key, value) || any(value, test)),
        Value::Array(list) => list.iter().any(|value| any(value, test)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_way_to_refer_counts() {
        let pod = json!({"metadata": {"name": "p"}, "spec": {
            "imagePullSecrets": [{"name": "s1"}],
            "containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "s2", "key": "k"}}}, {"valueFrom": {"configMapKeyRef": {"name": "c1", "key": "k"}}}],
                "envFrom": [{"secretRef": {"name": "s3"}}, {"configMapRef": {"name": "c2"}}]}],
            "volumes": [{"name": "a", "secret": {"secretName": "s4"}}, {"name": "b", "configMap": {"name": "c3"}},
                {"name": "c", "projected": {"sources": [{"secret": {"name": "s5"}}, {"configMap": {"name": "c4"}}]}},
                {"name": "d", "csi": {"nodePublishSecretRef": {"name": "s6"}}}]}});
        assert!(
            (1..=6).all(|n| secret(&pod, &format!("s{n}"))) && !secret(&pod, "s7") && !secret(&pod, "c1")
        );
        assert!((1..=4).all(|n| config_map(&pod, &format!("c{n}"))) && !config_map(&pod, "s1"));
    }
}
