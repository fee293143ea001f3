//! The pods that everybody is measured on: one container that ends at once when it is told to.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::pod::{PodBuilder, pod};
use types::Pod;

/// As PID 1 a program without a handler ignores SIGTERM, and every stop would take the whole grace period.
const SCRIPT: &str = "trap 'exit 0' TERM; while :; do sleep 100000 & wait; done";

/// The container's name.
pub(crate) const CONTAINER: &str = "main";

/// The pod that is measured where nothing else is said.
pub(crate) fn plain(name: &str) -> PodBuilder {
    pod(name).container(CONTAINER, &["sh", "-c", SCRIPT])
}

/// The same with a volume at `/volume`.
pub(crate) fn reader(name: &str, volume: &Value) -> PodBuilder {
    let mount = json!({"volumeMounts": [{"name": volume["name"], "mountPath": "/volume"}]});
    plain(name).with_spec(&json!({"volumes": [volume]})).with_container(CONTAINER, &mount)
}

/// The same with a probe of the kind `probe` that asks port `port` of this machine each second, and is believed at once.
pub(crate) fn asked(name: &str, probe: &str, port: u16) -> PodBuilder {
    let asks = json!({
        "httpGet": {"host": "127.0.0.1", "port": port},
        "periodSeconds": 1,
        "failureThreshold": 1,
    });
    plain(name).with_container(CONTAINER, &json!({probe: asks}))
}

/// A web server that is asked each second whether it lives, and whether it is ready.
pub(crate) fn web(name: &str, pods: usize) -> PodBuilder {
    let script = format!("mkdir /www; echo ok > /www/page; httpd -p 8080 -h /www; {SCRIPT}");
    let asks = json!({"httpGet": {"path": "/page", "port": 8080}, "periodSeconds": 1});
    let probes = json!({"livenessProbe": asks, "readinessProbe": asks});
    share(pod(name).container(CONTAINER, &["sh", "-c", &script]), pods).with_container(CONTAINER, &probes)
}

/// A pod in which a command is run every ten seconds to see whether it lives.
pub(crate) fn commanded(name: &str, pods: usize) -> PodBuilder {
    let asks = json!({"exec": {"command": ["test", "-e", "/etc/passwd"]}, "periodSeconds": 10});
    share(plain(name), pods).with_container(CONTAINER, &json!({"livenessProbe": asks}))
}

/// Half of the machine is for all pods together: without a request, a busy machine leaves them nothing, and probes that
/// fail tell the truth.
fn share(builder: PodBuilder, pods: usize) -> PodBuilder {
    let millicores = (crate::cores() * 500 / pods.max(1)).max(2);
    builder.with_container(CONTAINER, &json!({"resources": {"requests": {"cpu": format!("{millicores}m")}}}))
}

/// The name of a burst's pod.
pub(crate) fn name(number: usize) -> String {
    format!("bench-{number}")
}

/// The manifest of a plain pod.
pub(crate) fn manifest(name: &str) -> String {
    plain(name).manifest()
}

/// The pod as a client creates it for the node.
pub(crate) fn created(pod: PodBuilder, node: &str) -> Result<Pod> {
    let pod = pod.with_metadata(&json!({"uid": null})).with_spec(
        // A token would be one more request per pod, and is not to be had without controllers.
        &json!({"nodeName": node, "automountServiceAccountToken": false}),
    );
    serde_json::from_str(&pod.manifest()).context("make a pod")
}

/// A plain pod itself.
pub(crate) fn built(name: &str) -> Arc<Pod> {
    plain(name).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probed_pods_are_pods_with_probes_and_a_share_of_the_machine() {
        let web = created(web("a", 1_000_000), "node").unwrap();
        let spec = web.spec.unwrap();
        assert_eq!(spec.node_name.as_deref(), Some("node"));
        let container = &spec.containers[0];
        let path = |probe: &Option<types::corev1::Probe>| probe.clone()?.http_get?.path;
        assert_eq!(path(&container.liveness_probe).as_deref(), Some("/page"));
        assert_eq!(path(&container.readiness_probe).as_deref(), Some("/page"));
        let requests = container.resources.as_ref().unwrap().requests.as_ref().unwrap();
        assert_eq!(requests["cpu"].0, "2m");

        let asked = asked("b", "readinessProbe", 80).build();
        let container = &asked.spec.as_ref().unwrap().containers[0];
        assert!(container.liveness_probe.is_none());
        assert_eq!(container.readiness_probe.as_ref().unwrap().failure_threshold, Some(1));
        let commanded = commanded("c", 1).build();
        assert!(
            commanded.spec.as_ref().unwrap().containers[0].liveness_probe.as_ref().unwrap().exec.is_some()
        );
    }
}
