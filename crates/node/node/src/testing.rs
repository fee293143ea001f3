//! What the tests of this crate share: a node with everything it can say, and times.

use std::net::IpAddr;
use std::sync::Arc;

use cri::{Condition, RuntimeStatus};
use jiff::Timestamp;
use linux::hugepages::HugePages;
use serde_json::{Value, json};
use types::Quantity;
use types::corev1::Node;

use crate::facts::{Addresses, Facts, Inputs, Strain};
use crate::resources::{self, Reservations};
use crate::{InUse, Machine, PodRoom, RuntimeHealth};

/// The owner of what [`Inputs`] borrows.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) facts: Facts,
    pub(crate) runtime: RuntimeHealth,
    pub(crate) strain: Strain,
    pub(crate) in_use: Option<InUse>,
}

impl Scene {
    /// A node of which all is well.
    pub(crate) fn ready() -> Self {
        Self { facts: facts(), runtime: runtime(true, true), strain: Strain::default(), in_use: None }
    }

    pub(crate) fn inputs(&self) -> Inputs<'_> {
        Inputs {
            facts: &self.facts,
            runtime: &self.runtime,
            strain: &self.strain,
            in_use: self.in_use.as_ref(),
        }
    }
}

/// A time without fractions of a second, as the API keeps them.
pub(crate) fn now() -> Timestamp {
    later(0)
}

/// Some seconds after [`now`].
pub(crate) fn later(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(crate) fn facts() -> Facts {
    let machine = Machine {
        cpus: 4,
        memory_bytes: 8 << 30,
        swap_bytes: 0,
        hugepages: vec![HugePages { page_bytes: 2 << 20, count: 8 }],
        root_fs_bytes: 100 << 30,
        pids: 32_768,
        machine_id: "machine".to_owned(),
        system_uuid: "system".to_owned(),
        boot_id: "boot-1".to_owned(),
        kernel_version: "6.1.0".to_owned(),
        os_image: "Debian".to_owned(),
        hostname: "node-1".to_owned(),
    };
    let room = PodRoom { max_pods: 110, per_core: 0, ephemeral_storage: true };
    let capacity = resources::capacity(&machine, room);
    let kube = [("cpu".to_owned(), Quantity::milli(500))].into();
    let allocatable = resources::allocatable(&capacity, &Reservations { kube, ..Reservations::default() });
    let internal: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap()];
    Facts {
        name: "node-1".to_owned(),
        machine,
        capacity,
        allocatable,
        addresses: Addresses { internal, given: Vec::new(), external_cloud: false },
        architecture: "amd64".to_owned(),
        kubelet_version: "v1.36.0+berth.0.1.0".to_owned(),
        runtime: Some(cri::Version {
            name: "containerd".to_owned(),
            version: "1.6.20".to_owned(),
            api_version: "v1".to_owned(),
        }),
        port: 10250,
        images: Some(Arc::new(vec![image("sha256:1", 100), image("sha256:2", 200)])),
        max_images: Some(50),
        declared_features: vec!["RestartAllContainersOnContainerExits".to_owned()],
    }
}

pub(crate) fn image(id: &str, size: u64) -> cri::Image {
    cri::Image {
        id: id.to_owned(),
        repo_tags: vec![format!("example.com/{size}:1")],
        repo_digests: vec![format!("example.com/{size}@{id}")],
        size,
        ..cri::Image::default()
    }
}

/// A runtime that has answered.
pub(crate) fn runtime(ready: bool, network: bool) -> RuntimeHealth {
    let condition = |status| Condition { status, reason: String::new(), message: String::new() };
    let handler = |name: &str| cri::RuntimeHandler {
        name: name.to_owned(),
        recursive_read_only_mounts: true,
        user_namespaces: false,
    };
    let status = RuntimeStatus {
        ready: condition(ready),
        network: condition(network),
        handlers: vec![handler(""), handler("runc")],
        supplemental_groups_policy: true,
        user_namespaces_host_network: false,
        mount_options: false,
    };
    let mut reasons = Vec::new();
    if !ready {
        reasons.push("the runtime is not ready".to_owned());
    }
    if !network {
        reasons.push("there is no network".to_owned());
    }
    RuntimeHealth {
        known: true,
        ready,
        network,
        reasons,
        status: Some(Arc::new(status)),
        ..RuntimeHealth::unknown(now())
    }
}

/// What the API server makes of `node` with a strategic merge patch for its status.
pub(crate) fn merge(node: &Node, patch: &Value) -> Node {
    let mut value = serde_json::to_value(node).unwrap();
    merge_into(&mut value, patch);
    serde_json::from_value(value).unwrap()
}

fn merge_into(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else { return *target = patch.clone() };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, change) in patch {
        match (key.as_str(), change) {
            (_, Value::Null) => drop(target.as_object_mut().unwrap().remove(key)),
            ("conditions" | "addresses", Value::Array(items)) => {
                merge_by_type(&mut target[key.as_str()], items);
            }
            (_, Value::Object(_)) => merge_into(&mut target[key.as_str()], change),
            _ => target[key.as_str()] = change.clone(),
        }
    }
}

fn merge_by_type(target: &mut Value, items: &[Value]) {
    let directive = |item: &&Value| item["$patch"] == "replace";
    let plain = items.iter().filter(|item| item.get("$patch").is_none());
    if target.is_null() || items.iter().any(|item| directive(&item)) {
        *target = plain.cloned().collect();
        return;
    }
    let there = target.as_array_mut().unwrap();
    for item in plain {
        match there.iter_mut().find(|old| old["type"] == item["type"]) {
            Some(old) => merge_into(old, item),
            None => there.push(item.clone()),
        }
    }
}
