//! Pods for tests: small JSON on top of what every pod has.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use crate::containerd::BUSYBOX;

/// A pod in the making. It starts as `default/<name>` without containers; [`PodBuilder::build`] gives it one if it
/// still has none.
#[derive(Debug, Clone)]
pub struct PodBuilder {
    value: Value,
}

/// A pod `default/<name>` whose UID is derived from the name, so that a test can print and compare it.
#[must_use]
pub fn pod(name: &str) -> PodBuilder {
    PodBuilder {
        value: json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "uid": uid(name)},
            "spec": {
                "containers": [],
                "restartPolicy": "Always",
                "terminationGracePeriodSeconds": 30,
                "dnsPolicy": "ClusterFirst",
                "enableServiceLinks": true,
                "securityContext": {},
            },
        }),
    }
}

/// The UID of the pod of that name.
#[must_use]
pub fn uid(name: &str) -> String {
    // FNV-1a: equal names give equal UIDs, whatever the process.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{:08x}-0000-4000-8000-{:012x}", hash >> 32, hash & 0xffff_ffff)
}

impl PodBuilder {
    /// Adds a regular container that runs `command` in [`BUSYBOX`].
    #[must_use]
    pub fn container(self, name: &str, command: &[&str]) -> Self {
        self.push("containers", container(name, command))
    }

    /// Adds an init container.
    #[must_use]
    pub fn init_container(self, name: &str, command: &[&str]) -> Self {
        self.push("initContainers", container(name, command))
    }

    /// Adds a sidecar: an init container that keeps running.
    #[must_use]
    pub fn sidecar(self, name: &str, command: &[&str]) -> Self {
        let mut sidecar = container(name, command);
        sidecar["restartPolicy"] = json!("Always");
        self.push("initContainers", sidecar)
    }

    /// Merges fields into the container of that name, of whatever kind.
    #[must_use]
    pub fn with_container(mut self, name: &str, fields: &Value) -> Self {
        for list in ["initContainers", "containers"] {
            let containers = self.value["spec"][list].as_array_mut().into_iter().flatten();
            for container in containers.filter(|container| container["name"] == name) {
                merge(container, fields);
            }
        }
        self
    }

    /// Merges fields into the spec; lists replace lists.
    #[must_use]
    pub fn with_spec(mut self, fields: &Value) -> Self {
        merge(&mut self.value["spec"], fields);
        self
    }

    /// Merges fields into the metadata.
    #[must_use]
    pub fn with_metadata(mut self, fields: &Value) -> Self {
        merge(&mut self.value["metadata"], fields);
        self
    }

    /// Sets `spec.restartPolicy`.
    #[must_use]
    pub fn restart_policy(self, policy: &str) -> Self {
        self.with_spec(&json!({"restartPolicy": policy}))
    }

    /// Sets `spec.terminationGracePeriodSeconds`.
    #[must_use]
    pub fn grace_period(self, seconds: i64) -> Self {
        self.with_spec(&json!({"terminationGracePeriodSeconds": seconds}))
    }

    /// The pod.
    ///
    /// # Panics
    /// What was merged is not a pod: a mistake of the test.
    #[must_use]
    #[allow(clippy::panic, reason = "only tests call it, and they want to stop here")]
    pub fn build(&self) -> Arc<Pod> {
        match serde_json::from_value(self.complete()) {
            Ok(pod) => Arc::new(pod),
            Err(error) => panic!("not a pod: {error}: {}", self.value),
        }
    }

    /// The manifest to put into a static pod directory: without the UID, which the source computes.
    #[must_use]
    pub fn manifest(&self) -> String {
        let mut value = self.complete();
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.remove("uid");
        }
        value.to_string()
    }

    fn complete(&self) -> Value {
        let mut value = self.value.clone();
        if value["spec"]["containers"].as_array().is_some_and(Vec::is_empty) {
            value["spec"]["containers"] = json!([container("main", &["sleep", "100000"])]);
        }
        value
    }

    fn push(mut self, list: &str, container: Value) -> Self {
        match self.value["spec"][list].as_array_mut() {
            Some(containers) => containers.push(container),
            None => self.value["spec"][list] = json!([container]),
        }
        self
    }
}

/// A container as it is after defaulting.
fn container(name: &str, command: &[&str]) -> Value {
    json!({
        "name": name,
        "image": BUSYBOX,
        "command": command,
        "imagePullPolicy": "IfNotPresent",
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "resources": {},
    })
}

/// Objects are merged key by key; anything else replaces what was there. Null removes.
fn merge(into: &mut Value, from: &Value) {
    let (Value::Object(into), Value::Object(from)) = (&mut *into, from) else {
        *into = from.clone();
        return;
    };
    for (key, value) in from {
        if value.is_null() {
            into.remove(key);
        } else {
            merge(into.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_merged_into_what_every_pod_has() {
        let pod = pod("web")
            .sidecar("proxy", &["nc"])
            .container("app", &["httpd", "-f"])
            .with_container("app", &json!({"resources": {"limits": {"memory": "64Mi"}}}))
            .with_spec(&json!({"hostNetwork": true, "dnsPolicy": null}))
            .grace_period(5)
            .build();
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(
            (spec.host_network, &spec.dns_policy, spec.termination_grace_period_seconds),
            (Some(true), &None, Some(5))
        );
        assert_eq!(spec.init_containers.as_ref().unwrap()[0].restart_policy.as_deref(), Some("Always"));
        let limits = spec.containers[0].resources.as_ref().unwrap().limits.as_ref().unwrap();
        assert_eq!(limits["memory"].0, "64Mi");
        assert_eq!(pod.metadata.uid.as_deref(), Some(uid("web").as_str()));
    }

    #[test]
    fn a_pod_without_containers_is_given_one_and_a_manifest_has_no_uid() {
        let manifest: Value = serde_json::from_str(&pod("idle").manifest()).unwrap();
        assert_eq!(manifest["spec"]["containers"].as_array().unwrap().len(), 1);
        assert!(manifest["metadata"].get("uid").is_none());
    }
}
