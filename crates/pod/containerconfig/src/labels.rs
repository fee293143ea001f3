//! Labels and annotations on sandboxes and containers, by which a kubelet knows its own again.

use std::collections::HashMap;

use types::corev1::Container;
use types::{Pod, PodRef, hash, labels, pod};

use crate::ConfigError;

/// Texts by key, as CRI carries them.
pub type Map = HashMap<String, String>;

/// Labels of a sandbox: the pod's own and the three that identify it, which go before the pod's.
#[must_use]
pub fn sandbox_labels(pod: &Pod) -> Map {
    let mut map: Map = pod.metadata.labels.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    map.extend(pod_labels(pod));
    map
}

/// Annotations of a sandbox: the pod's own.
#[must_use]
pub fn sandbox_annotations(pod: &Pod) -> Map {
    pod.metadata.annotations.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Labels of a container: its pod and its name.
#[must_use]
pub fn container_labels(pod: &Pod, container: &Container) -> Map {
    let mut map = pod_labels(pod);
    map.insert(labels::CONTAINER_NAME.to_owned(), container.name.clone());
    map
}

fn pod_labels(pod: &Pod) -> Map {
    let PodRef { name, uid } = PodRef::of(pod);
    Map::from([
        (labels::POD_NAME.to_owned(), name.name.to_string()),
        (labels::POD_NAMESPACE.to_owned(), name.namespace.to_string()),
        (labels::POD_UID.to_owned(), uid.to_string()),
    ])
}

/// Annotations of a container: what a kubelet needs to go on with it, or to stop it when the pod's spec is lost.
/// `extra` comes from plugins; keys of the kubelet go before it.
///
/// # Errors
/// If a field cannot be written as JSON.
pub fn container_annotations(
    pod: &Pod,
    container: &Container,
    restart_count: u32,
    extra: &Map,
) -> Result<Map, ConfigError> {
    let mut map = extra.clone();
    let mut set = |key: &str, value: String| map.insert(key.to_owned(), value);
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    set(
        labels::CONTAINER_HASH,
        hash::container_hash(&container.name, container.image.as_deref().unwrap_or_default()),
    );
    set(labels::CONTAINER_RESTART_COUNT, restart_count.to_string());
    set(labels::TERMINATION_MESSAGE_PATH, text(&container.termination_message_path));
    set(labels::TERMINATION_MESSAGE_POLICY, text(&container.termination_message_policy));
    if let Some(seconds) = pod.metadata.deletion_grace_period_seconds {
        set(labels::DELETION_GRACE_PERIOD, seconds.to_string());
    }
    if let Some(seconds) = pod::spec(pod).termination_grace_period_seconds {
        set(labels::TERMINATION_GRACE_PERIOD, seconds.to_string());
    }
    if let Some(hook) = container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref()) {
        let json = serde_json::to_string(hook).map_err(|_| ConfigError::Annotation("lifecycle.preStop"))?;
        set(labels::PRE_STOP_HANDLER, json);
    }
    if let Some(ports) = container.ports.as_ref().filter(|ports| !ports.is_empty()) {
        let json = serde_json::to_string(ports).map_err(|_| ConfigError::Annotation("ports"))?;
        set(labels::CONTAINER_PORTS, json);
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn lines(map: Map) -> String {
        let sorted: BTreeMap<_, _> = map.into_iter().collect();
        sorted.into_iter().map(|(key, value)| format!("{key}: {value}\n")).collect()
    }

    #[test]
    fn all_of_them() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u1",
                "labels": {"app": "web", "io.kubernetes.pod.uid": "forged"}, "annotations": {"note": "n"},
                "deletionGracePeriodSeconds": 5},
            "spec": {"terminationGracePeriodSeconds": 30, "containers": [{
                "name": "c", "image": "nginx", "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "sleep 1"]}}},
                "ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}]}]},
        }))
        .unwrap();
        let container = &pod::regular_containers(&pod)[0];
        let extra =
            Map::from([(labels::CONTAINER_RESTART_COUNT.into(), "9".into()), ("cdi".into(), "x".into())]);
        expect![[r#"
            app: web
            io.kubernetes.pod.name: web
            io.kubernetes.pod.namespace: shop
            io.kubernetes.pod.uid: u1
        "#]]
        .assert_eq(&lines(sandbox_labels(&pod)));
        assert_eq!(lines(sandbox_annotations(&pod)), "note: n\n");
        expect![[r#"
            io.kubernetes.container.name: c
            io.kubernetes.pod.name: web
            io.kubernetes.pod.namespace: shop
            io.kubernetes.pod.uid: u1
        "#]]
        .assert_eq(&lines(container_labels(&pod, container)));
        expect![[r#"
            cdi: x
            io.kubernetes.container.hash: 45ac1010
            io.kubernetes.container.ports: [{"containerPort":80,"name":"http","protocol":"TCP"}]
            io.kubernetes.container.preStopHandler: {"exec":{"command":["sh","-c","sleep 1"]}}
            io.kubernetes.container.restartCount: 2
            io.kubernetes.container.terminationMessagePath: /dev/termination-log
            io.kubernetes.container.terminationMessagePolicy: File
            io.kubernetes.pod.deletionGracePeriod: 5
            io.kubernetes.pod.terminationGracePeriod: 30
        "#]]
        .assert_eq(&lines(container_annotations(&pod, container, 2, &extra).unwrap()));
    }
}
