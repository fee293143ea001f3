//! The Node object: how it is when it is created, and what becomes of one that is there already (Kubernetes: "Nodes",
//! self-registration). Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use types::Quantity;
use types::corev1::{Node, NodeCondition, NodeSpec, NodeStatus, Taint};
use types::k8s::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::facts::Inputs;
use crate::status::{self, is_extended, provided_node_ip};

/// The label with the node's name.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// The label with the operating system.
pub const OS: &str = "kubernetes.io/os";
/// The label with the architecture.
pub const ARCH: &str = "kubernetes.io/arch";
/// The operating system's label before Kubernetes 1.14.
const BETA_OS: &str = "beta.kubernetes.io/os";
/// The architecture's label before Kubernetes 1.14.
const BETA_ARCH: &str = "beta.kubernetes.io/arch";
/// Labels that a node which registers again corrects, if it has them. Others are the cluster's by then.
const CORRECTED: [&str; 11] = [
    HOSTNAME,
    OS,
    ARCH,
    BETA_OS,
    BETA_ARCH,
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "node.kubernetes.io/instance-type",
    "beta.kubernetes.io/instance-type",
];
/// Says that volumes are attached by the control plane.
const CONTROLLER_ATTACH: &str = "volumes.kubernetes.io/controller-managed-attach-detach";
/// Tells a cloud provider which addresses `--node-ip` names.
const PROVIDED_NODE_IP: &str = "alpha.kubernetes.io/provided-node-ip";
/// Keeps pods away until the cloud provider has completed the node.
const UNINITIALIZED: &str = "node.cloudprovider.kubernetes.io/uninitialized";

/// How the node registers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Registration {
    /// Whether it creates its Node object, and corrects one that is there (`registerNode`).
    pub register: bool,
    /// Labels of the operator's (`--node-labels`), which the configuration has checked.
    pub labels: BTreeMap<String, String>,
    /// Taints that it is created with (`registerWithTaints`).
    pub taints: Vec<Taint>,
    /// The cloud's name for the machine (`providerID`); empty for none.
    pub provider_id: String,
    /// Whether the control plane attaches volumes (`enableControllerAttachDetach`).
    pub controller_attach: bool,
    /// Whether what device plugins advertised before is to be forgotten, because there is no checkpoint of devices: the
    /// machine is not the one that advertised them.
    pub reset_extended_resources: bool,
}

/// The Node object to create.
#[must_use]
pub fn initial(registration: &Registration, inputs: Inputs<'_>, now: Timestamp) -> Node {
    let facts = inputs.facts;
    let mut taints = registration.taints.clone();
    if facts.addresses.external_cloud {
        taints.push(Taint {
            key: UNINITIALIZED.to_owned(),
            value: Some("true".to_owned()),
            effect: "NoSchedule".to_owned(),
            time_added: None,
        });
    }
    let metadata = ObjectMeta {
        name: Some(facts.name.clone()),
        labels: Some(labels(registration, inputs)),
        annotations: registration
            .controller_attach
            .then(|| BTreeMap::from([(CONTROLLER_ATTACH.to_owned(), "true".to_owned())])),
        ..ObjectMeta::default()
    };
    let spec = NodeSpec {
        taints: (!taints.is_empty()).then_some(taints),
        provider_id: Some(registration.provider_id.clone()).filter(|id| !id.is_empty()),
        ..NodeSpec::default()
    };
    let bare = Node { metadata, spec: Some(spec), status: None };
    kept(&bare, inputs, now)
}

/// The labels that the node is created with; the operator's win.
fn labels(registration: &Registration, inputs: Inputs<'_>) -> BTreeMap<String, String> {
    let (facts, os) = (inputs.facts, "linux");
    let arch = facts.architecture.as_str();
    let own = [(HOSTNAME, facts.name.as_str()), (OS, os), (ARCH, arch), (BETA_OS, os), (BETA_ARCH, arch)];
    let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
    own.into_iter().chain(registration.labels.clone()).collect()
}

/// A Node object that was there before the agent started, or was made by somebody else, as the agent takes it over.
/// Taints, the provider's id, and labels other than the well-known ones are left as the cluster has them.
#[must_use]
pub fn adopted(existing: &Node, registration: &Registration, inputs: Inputs<'_>) -> Node {
    let mut node = existing.clone();
    let wanted = labels(registration, inputs);
    let labels = node.metadata.labels.get_or_insert_default();
    for key in CORRECTED {
        match wanted.get(key) {
            Some(value) if value.is_empty() => drop(labels.remove(key)),
            Some(value) => drop(labels.insert(key.to_owned(), value.clone())),
            None => {}
        }
    }
    let attach = registration.controller_attach.then(|| "true".to_owned());
    annotate(&mut node.metadata, CONTROLLER_ATTACH, attach);
    if registration.reset_extended_resources
        && let Some(status) = &mut node.status
    {
        for (_, amount) in status.capacity.iter_mut().flatten().filter(|(name, _)| is_extended(name)) {
            *amount = Quantity::ZERO.to_api();
        }
    }
    node
}

/// The Node object as the agent keeps it: with its operating system, its architecture and its status.
#[must_use]
pub fn kept(before: &Node, inputs: Inputs<'_>, now: Timestamp) -> Node {
    let mut node = before.clone();
    let labels = node.metadata.labels.get_or_insert_default();
    labels.insert(OS.to_owned(), "linux".to_owned());
    labels.insert(ARCH.to_owned(), inputs.facts.architecture.clone());
    annotate(&mut node.metadata, PROVIDED_NODE_IP, provided_node_ip(&inputs.facts.addresses));
    let none = NodeStatus::default();
    node.status = Some(status::derive(before.status.as_ref().unwrap_or(&none), inputs, now));
    node
}

/// Whether the scheduler may place pods on the node.
#[must_use]
pub fn is_schedulable(node: &Node) -> bool {
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable);
    cordoned != Some(true)
}

/// Whether the node says that it is ready.
#[must_use]
pub fn is_ready(node: &Node) -> bool {
    ready_condition(node).is_some_and(|ready| ready.status == "True")
}

/// The node's Ready condition.
pub(crate) fn ready_condition(node: &Node) -> Option<&NodeCondition> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Ready")
}

/// Sets an annotation, or removes it.
fn annotate(metadata: &mut ObjectMeta, key: &str, value: Option<String>) {
    match (value, &mut metadata.annotations) {
        (Some(value), annotations) => {
            annotations.get_or_insert_default().insert(key.to_owned(), value);
        }
        (None, Some(annotations)) => drop(annotations.remove(key)),
        (None, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Scene, now};

    fn registration() -> Registration {
        Registration {
            register: true,
            labels: BTreeMap::from([("example.com/rack".to_owned(), "7".to_owned())]),
            controller_attach: true,
            provider_id: "cloud://1".to_owned(),
            ..Registration::default()
        }
    }

    fn label<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
        node.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    fn annotation<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
        node.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    #[test]
    fn a_new_node_has_its_labels_annotation_taints_and_provider() {
        let mut scene = Scene::ready();
        let node = initial(&registration(), scene.inputs(), now());
        for (key, value) in [
            (HOSTNAME, "node-1"),
            (OS, "linux"),
            (ARCH, "amd64"),
            (BETA_OS, "linux"),
            (BETA_ARCH, "amd64"),
            ("example.com/rack", "7"),
        ] {
            assert_eq!(label(&node, key), Some(value), "{key}");
        }
        assert_eq!(annotation(&node, CONTROLLER_ATTACH), Some("true"));
        let spec = node.spec.unwrap();
        assert_eq!((spec.provider_id.as_deref(), spec.taints), (Some("cloud://1"), None));

        scene.facts.addresses.external_cloud = true;
        scene.facts.addresses.given = scene.facts.addresses.internal.clone();
        let taint = Taint { key: "gpu".into(), effect: "NoExecute".into(), ..Taint::default() };
        let registration = Registration { taints: vec![taint], ..registration() };
        let node = initial(&registration, scene.inputs(), now());
        let taints = node.spec.as_ref().unwrap().taints.clone().unwrap();
        let keys: Vec<&str> = taints.iter().map(|taint| taint.key.as_str()).collect();
        assert_eq!(keys, ["gpu", UNINITIALIZED]);
        assert_eq!(annotation(&node, PROVIDED_NODE_IP), Some("10.0.0.1"));
    }

    #[test]
    fn the_operators_labels_win() {
        let labels = BTreeMap::from([(HOSTNAME.to_owned(), "other".to_owned())]);
        let node = initial(&Registration { labels, ..registration() }, Scene::ready().inputs(), now());
        assert_eq!(label(&node, HOSTNAME), Some("other"));
    }

    #[test]
    fn a_node_that_is_there_keeps_what_is_the_clusters() {
        let scene = Scene::ready();
        let mut existing = initial(&registration(), scene.inputs(), now());
        let labels = existing.metadata.labels.as_mut().unwrap();
        labels.insert(HOSTNAME.to_owned(), "wrong".to_owned());
        labels.insert("example.com/rack".to_owned(), "8".to_owned());
        labels.insert("topology.kubernetes.io/zone".to_owned(), "a".to_owned());
        labels.remove(BETA_ARCH);
        let spec = existing.spec.as_mut().unwrap();
        spec.provider_id = Some("cloud://2".to_owned());
        let node =
            adopted(&existing, &Registration { controller_attach: false, ..registration() }, scene.inputs());
        for (key, value) in [
            (HOSTNAME, "node-1"),
            (BETA_ARCH, "amd64"),
            ("example.com/rack", "8"),
            ("topology.kubernetes.io/zone", "a"),
        ] {
            assert_eq!(label(&node, key), Some(value), "{key}");
        }
        assert_eq!(annotation(&node, CONTROLLER_ATTACH), None);
        assert_eq!(node.spec, existing.spec);

        let zone = ("topology.kubernetes.io/zone".to_owned(), String::new());
        let registration = Registration { labels: BTreeMap::from([zone]), ..registration() };
        assert_eq!(
            label(&adopted(&existing, &registration, scene.inputs()), "topology.kubernetes.io/zone"),
            None
        );
    }

    #[test]
    fn extended_resources_are_zeroed_on_another_machine() {
        let scene = Scene::ready();
        let mut existing = initial(&registration(), scene.inputs(), now());
        let status = existing.status.as_mut().unwrap();
        for name in ["example.com/gpu", "attachable-volumes-x"] {
            status.capacity.as_mut().unwrap().insert(name.to_owned(), Quantity::whole(4).to_api());
        }
        for (reset, expected) in [(false, "4"), (true, "0")] {
            let registration = Registration { reset_extended_resources: reset, ..registration() };
            let node = adopted(&existing, &registration, scene.inputs());
            let status = kept(&node, scene.inputs(), now()).status.unwrap();
            let (capacity, allocatable) = (status.capacity.unwrap(), status.allocatable.unwrap());
            assert_eq!(capacity["example.com/gpu"].0, expected);
            assert_eq!(allocatable["example.com/gpu"].0, expected);
            assert_eq!(capacity["attachable-volumes-x"].0, "4");
        }
    }

    #[test]
    fn os_and_architecture_are_kept_up() {
        let scene = Scene::ready();
        let mut node = initial(&registration(), scene.inputs(), now());
        let labels = node.metadata.labels.as_mut().unwrap();
        labels.remove(OS);
        labels.insert(ARCH.to_owned(), "arm64".to_owned());
        labels.insert(HOSTNAME.to_owned(), "mine".to_owned());
        let kept = kept(&node, scene.inputs(), now());
        assert_eq!((label(&kept, OS), label(&kept, ARCH)), (Some("linux"), Some("amd64")));
        assert_eq!(label(&kept, HOSTNAME), Some("mine"));
    }
}
