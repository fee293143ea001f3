//! Nodes: their table, their description, taints, cordons and drains.

use crate::cluster::Cluster;
use crate::manifests;

#[test]
fn real_nodes() {
    let Some(cluster) = Cluster::with_node() else { return };
    let wide = cluster.ok("get nodes -o wide");
    assert!(wide.starts_with("NAME   STATUS   ROLES    AGE"), "{wide}");
    for cell in ["Ready", "10.0.0.1", "containerd://2.0", "v1.36.0"] {
        assert!(wide.contains(cell), "{cell}: {wide}");
    }
    cluster.create(manifests::POD);
    let described = cluster.ok("describe node n1");
    for section in [
        "Conditions:",
        "KubeletReady",
        "Capacity:",
        "System Info:",
        "Non-terminated Pods:",
        "default",
        "100m (5%)",
    ] {
        assert!(described.contains(section), "{section}: {described}");
    }
    assert_eq!(cluster.ok("wait --for=condition=Ready node/n1 --timeout=20s"), "node/n1 condition met");
}

#[test]
fn real_taints_cordons_and_drains() {
    let Some(cluster) = Cluster::with_node() else { return };
    assert_eq!(cluster.ok("taint node n1 k=v:NoSchedule"), "node/n1 tainted");
    assert!(cluster.fails("taint node n1 k=w:NoSchedule").contains("--overwrite is false"));
    cluster.ok("taint node n1 k=w:NoSchedule --overwrite");
    assert_eq!(cluster.ok("get node n1 -o jsonpath={.spec.taints[0].value}"), "w");
    assert_eq!(cluster.ok("taint node n1 k-"), "node/n1 untainted");

    cluster.create(manifests::POD);
    assert_eq!(cluster.ok("cordon n1"), "node/n1 cordoned");
    assert!(cluster.ok("get nodes").contains("Ready,SchedulingDisabled"));
    // Nothing is bound to it any more.
    cluster.create(&manifests::POD.replace("name: x", "name: later"));
    assert_eq!(cluster.ok("get pod later -o jsonpath={.spec.nodeName}"), "");
    // A pod that nobody would make again stays, unless told otherwise.
    assert!(cluster.fails("drain n1 --timeout=20s").contains("default/x"));
    let drained = cluster.ok("drain n1 --force --timeout=20s");
    // Words of newer and older ones.
    assert!(drained.contains("evicting pod default/x") || drained.contains("pod/x deleted"), "{drained}");
    assert_eq!(cluster.ok("get pods -o name"), "pod/later");
    assert_eq!(cluster.ok("uncordon n1"), "node/n1 uncordoned");
    cluster.ok("delete pod later");
    cluster.ok("delete node n1");
}

/// The subresource itself, as a drain uses it where there is a `policy` group.
#[test]
fn real_evictions() {
    let Some(cluster) = Cluster::with_node() else { return };
    cluster.create(manifests::POD);
    let eviction = cluster.file(
        "eviction.json",
        r#"{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "x"}}"#,
    );
    cluster.ok(&format!("create --raw /api/v1/namespaces/default/pods/x/eviction -f {eviction}"));
    assert!(cluster.fails("get pod x").contains("(NotFound)"));
}
