//! Every reason as a named case, and what holds for every preemption.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use types::resources::Amounts;
use types::{Pod, Quantity};

use crate::{AdmitInput, Node, Verdict, admit};

fn amounts(cpu_millis: i64, memory: i64, pods: i64) -> Amounts {
    [
        ("cpu", Quantity::milli(cpu_millis)),
        ("memory", Quantity::bytes(memory)),
        ("pods", Quantity::whole(pods)),
        ("ephemeral-storage", Quantity::bytes(1000)),
        ("example.com/gpu", Quantity::whole(1)),
    ]
    .map(|(name, quantity)| (name.to_owned(), quantity))
    .into()
}

fn node() -> Node {
    Node {
        name: "here".to_owned(),
        labels: [("zone".to_owned(), "a".to_owned()), ("size".to_owned(), "8".to_owned())].into(),
        allocatable: amounts(1000, 1000, 10),
        kernel: (5, 4),
        ..Node::default()
    }
}

fn pod(uid: &str, spec: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": uid, "namespace": "ns", "uid": uid}, "spec": spec}))
        .unwrap()
}

fn asking(uid: &str, requests: Value) -> Pod {
    pod(uid, json!({"containers": [{"name": "c", "resources": {"requests": requests}}]}))
}

fn verdict(pod: &Pod, active: Vec<Pod>, node: &Node) -> String {
    let active: Vec<_> = active.into_iter().map(Arc::new).collect();
    match admit(&AdmitInput { pod, active: &active, node }) {
        Verdict::Run => "run".to_owned(),
        Verdict::Preempt { victims, .. } => {
            let names: BTreeSet<_> = victims.iter().map(|victim| victim.uid.to_string()).collect();
            names.into_iter().collect::<Vec<_>>().join(" ")
        }
        Verdict::Reject(reject) => format!("{}: {}", reject.reason, reject.message),
    }
}

#[test]
fn resources() {
    let used = || asking("used", json!({"cpu": "600m", "memory": "100"}));
    for (requests, expected) in [
        (json!({"cpu": "400m", "memory": "900"}), "run"),
        (
            json!({"cpu": "0.4001"}),
            "OutOfcpu: Node didn't have enough resource: cpu, requested: 401, used: 600, capacity: 1000",
        ),
        (
            json!({"memory": "901"}),
            "OutOfmemory: Node didn't have enough resource: memory, requested: 901, used: 100, capacity: 1000",
        ),
        (
            json!({"ephemeral-storage": "2k"}),
            "OutOfephemeral-storage: Node didn't have enough resource: ephemeral-storage, requested: 2000, used: 0, capacity: 1000",
        ),
        (
            json!({"example.com/gpu": "2"}),
            "OutOfexample.com/gpu: Node didn't have enough resource: example.com/gpu, requested: 2, used: 0, capacity: 1",
        ),
        (json!({"example.com/unknown": "2"}), "run"),
        (
            json!({"hugepages-2Mi": "2Mi"}),
            "OutOfhugepages-2Mi: Node didn't have enough resource: hugepages-2Mi, requested: 2097152, used: 0, capacity: 0",
        ),
    ] {
        assert_eq!(verdict(&asking("new", requests.clone()), vec![used()], &node()), expected, "{requests}");
    }
    let full = Node { allocatable: amounts(1000, 1000, 1), ..node() };
    let none = asking("new", json!({}));
    assert_eq!(
        verdict(&none, vec![used()], &full),
        "OutOfpods: Node didn't have enough resource: pods, requested: 1, used: 1, capacity: 1"
    );
    assert_eq!(verdict(&used(), vec![used()], &full), "run", "the pod itself does not count");
    let overfull = Node { allocatable: amounts(500, 1000, 10), ..node() };
    assert_eq!(verdict(&none, vec![used()], &overfull), "run", "one that asks for nothing always fits");
}

#[test]
fn host_ports() {
    let with = |uid: &str, port: Value| pod(uid, json!({"containers": [{"name": "c", "ports": [port]}]}));
    let taken = || with("old", json!({"containerPort": 80, "hostPort": 80, "hostIP": "10.0.0.1"}));
    for (port, free) in [
        (json!({"containerPort": 1, "hostPort": 80}), false),
        (json!({"containerPort": 1, "hostPort": 80, "hostIP": "0.0.0.0"}), false),
        (json!({"containerPort": 1, "hostPort": 80, "hostIP": "10.0.0.2"}), true),
        (json!({"containerPort": 1, "hostPort": 80, "protocol": "UDP"}), true),
        (json!({"containerPort": 80}), true),
    ] {
        let actual = verdict(&with("new", port.clone()), vec![taken()], &node());
        let expected = "NodePorts: Predicate NodePorts failed: host port 80/TCP is taken by pod ns/old";
        assert_eq!(actual, if free { "run" } else { expected }, "{port}");
    }
}

#[test]
fn node_selection() {
    let term = |key: &str, operator: &str, values: Value| {
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]}}}})
    };
    for (spec, reason) in [
        (json!({"nodeName": "here"}), "run"),
        (json!({"nodeName": "there"}), "NodeName"),
        (json!({"nodeSelector": {"zone": "a"}}), "run"),
        (json!({"nodeSelector": {"zone": "b"}}), "NodeAffinity"),
        (term("zone", "In", json!(["b", "a"])), "run"),
        (term("zone", "NotIn", json!(["a"])), "NodeAffinity"),
        (term("none", "NotIn", json!(["a"])), "run"),
        (term("none", "Exists", json!([])), "NodeAffinity"),
        (term("none", "DoesNotExist", json!([])), "run"),
        (term("size", "Gt", json!(["7"])), "run"),
        (term("size", "Lt", json!(["8"])), "NodeAffinity"),
        (term("zone", "Gt", json!(["7"])), "NodeAffinity"),
        (
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {}, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["here"]}]}]}}}}),
            "run",
        ),
        (
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}]}}}}),
            "NodeAffinity",
        ),
    ] {
        let mut full = spec.clone();
        full["containers"] = json!([]);
        let actual = verdict(&pod("new", full), vec![], &node());
        assert_eq!(actual.split(':').next(), Some(reason), "{spec}");
    }
}

#[test]
fn taints() {
    let tainted = Node {
        taints: serde_json::from_value(json!([
            {"key": "k", "value": "v", "effect": "NoExecute"}, {"key": "x", "effect": "NoSchedule"}]))
        .unwrap(),
        ..node()
    };
    for (toleration, reason) in [
        (json!({"key": "k", "value": "v"}), "run"),
        (json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}), "run"),
        (json!({"operator": "Exists"}), "run"),
        (json!({"key": "k", "value": "w"}), "TaintToleration"),
        (json!({"key": "k", "operator": "Exists", "effect": "NoSchedule"}), "TaintToleration"),
    ] {
        let mut pod = pod("new", json!({"containers": [], "tolerations": [toleration.clone()]}));
        let actual = verdict(&pod, vec![], &tainted);
        assert_eq!(actual.split(':').next(), Some(reason), "{toleration}");
        pod.metadata.annotations =
            Some([("kubernetes.io/config.source".to_owned(), "file".to_owned())].into());
        assert_eq!(verdict(&pod, vec![], &tainted), "run", "a static pod");
    }
}

#[test]
fn sysctls() {
    let old = Node {
        kernel: (4, 5),
        allowed_unsafe_sysctls: vec!["kernel.msg*".to_owned(), "net.core.somaxconn".to_owned()],
        ..node()
    };
    for (name, extra, expected) in [
        ("net.ipv4.ip_local_port_range", json!({}), "run"),
        ("net/ipv4/ip_local_port_range", json!({}), "run"),
        ("net.ipv4.tcp_keepalive_time", json!({}), "run"),
        (
            "net.ipv4.tcp_rmem",
            json!({}),
            "SysctlForbidden: forbidden sysctl: \"net.ipv4.tcp_rmem\" not allowlisted",
        ),
        ("kernel.msgmax", json!({}), "run"),
        ("net.core.somaxconn", json!({}), "run"),
        (
            "net.core.somaxconn2",
            json!({}),
            "SysctlForbidden: forbidden sysctl: \"net.core.somaxconn2\" not allowlisted",
        ),
        ("vm.swappiness", json!({}), "SysctlForbidden: forbidden sysctl: \"vm.swappiness\" not allowlisted"),
        (
            "net.ipv4.tcp_syncookies",
            json!({"hostNetwork": true}),
            "SysctlForbidden: forbidden sysctl: \"net.ipv4.tcp_syncookies\" not allowed with host net enabled",
        ),
        ("kernel.shm_rmid_forced", json!({"hostNetwork": true}), "run"),
        (
            "kernel.shm_rmid_forced",
            json!({"hostIPC": true}),
            "SysctlForbidden: forbidden sysctl: \"kernel.shm_rmid_forced\" not allowed with host ipc enabled",
        ),
    ] {
        let mut spec = extra.clone();
        spec["containers"] = json!([]);
        spec["securityContext"] = json!({"sysctls": [{"name": name, "value": "1"}]});
        assert_eq!(verdict(&pod("new", spec), vec![], &old), expected, "{name}");
    }
}

#[test]
fn what_the_node_cannot_do() {
    let reason = |pod: &Pod, node: &Node| verdict(pod, vec![], node).split(':').next().unwrap().to_owned();
    let plain = pod("p", json!({"containers": []}));
    assert_eq!(reason(&plain, &Node { shutting_down: true, ..node() }), "NodeShutdown");

    let mut labelled = plain.clone();
    labelled.metadata.labels = Some([("kubernetes.io/os".to_owned(), "windows".to_owned())].into());
    assert_eq!(reason(&labelled, &node()), "PodOSSelectorNodeLabelDoesNotMatch");
    assert_eq!(
        reason(&pod("p", json!({"os": {"name": "windows"}, "containers": []})), &node()),
        "PodOSNotSupported"
    );

    let strict =
        pod("p", json!({"securityContext": {"supplementalGroupsPolicy": "Strict"}, "containers": []}));
    assert_eq!(reason(&strict, &node()), "SupplementalGroupsPolicyNotSupported");
    assert_eq!(reason(&strict, &Node { supplemental_groups_policy: true, ..node() }), "run");

    for (spec, annotation, expected) in [
        (json!({"appArmorProfile": {"type": "RuntimeDefault"}}), None, "AppArmor"),
        (json!({"appArmorProfile": {"type": "Unconfined"}}), None, "run"),
        (json!({}), Some("localhost/x"), "AppArmor"),
        (json!({}), Some("unconfined"), "run"),
    ] {
        let mut pod = pod("p", json!({"containers": [{"name": "c", "securityContext": spec}]}));
        let key = "container.apparmor.security.beta.kubernetes.io/c".to_owned();
        pod.metadata.annotations = annotation.map(|profile| [(key, profile.to_owned())].into());
        assert_eq!(reason(&pod, &node()), expected);
        assert_eq!(reason(&pod, &Node { apparmor: true, ..node() }), "run");
        pod.status = Some(serde_json::from_value(json!({"phase": "Running"})).unwrap());
        assert_eq!(reason(&pod, &node()), "run", "it runs already");
    }
}

fn critical(requests: Value) -> Pod {
    let mut pod = asking("critical", requests);
    pod.spec.as_mut().unwrap().priority = Some(2_000_000_000);
    pod
}

#[test]
fn preemption() {
    let burstable = |uid: &str, cpu: &str| asking(uid, json!({"cpu": cpu}));
    let guaranteed = |uid: &str, cpu: &str| {
        pod(
            uid,
            json!({"containers": [{"name": "c", "resources": {"limits": {"cpu": cpu, "memory": "1"}, "requests": {"cpu": cpu, "memory": "1"}}}]}),
        )
    };
    for (case, active, wanted, expected) in [
        ("no need", vec![burstable("a", "500m")], "500m", "run"),
        (
            "the one that fits best",
            vec![burstable("a", "300m"), burstable("b", "200m"), burstable("c", "500m")],
            "200m",
            "b",
        ),
        (
            "two of them",
            vec![burstable("a", "300m"), burstable("b", "300m"), burstable("c", "400m")],
            "600m",
            "a c",
        ),
        ("the lesser class", vec![guaranteed("a", "500m"), burstable("b", "500m")], "500m", "b"),
        (
            "the better class only if needed",
            vec![guaranteed("a", "500m"), burstable("b", "500m")],
            "600m",
            "a b",
        ),
        ("best effort gives no CPU", vec![asking("a", json!({})), burstable("b", "1")], "1", "b"),
    ] {
        assert_eq!(verdict(&critical(json!({"cpu": wanted})), active, &node()), expected, "{case}");
    }
    let one_place = Node { allocatable: amounts(1000, 1000, 1), ..node() };
    assert_eq!(
        verdict(&critical(json!({})), vec![asking("a", json!({}))], &one_place),
        "a",
        "places count too"
    );

    let mut equal = burstable("a", "1");
    equal.spec.as_mut().unwrap().priority = Some(2_000_000_000);
    let reason = verdict(&critical(json!({"cpu": "1"})), vec![equal.clone()], &node());
    assert!(reason.starts_with("OutOfcpu"), "nobody makes way for an equal");
    let higher = {
        let mut pod = critical(json!({"cpu": "1"}));
        pod.spec.as_mut().unwrap().priority = Some(2_000_001_000);
        pod
    };
    assert_eq!(verdict(&higher, vec![equal], &node()), "a", "but for a higher priority");
    let reason = verdict(&critical(json!({"cpu": "2"})), vec![burstable("a", "1")], &node());
    assert!(reason.starts_with("OutOfcpu"), "even an empty node is too small");
    let plain = asking("p", json!({"cpu": "1"}));
    assert!(verdict(&plain, vec![burstable("a", "1")], &node()).starts_with("OutOfcpu"), "not critical");
    let elsewhere = {
        let mut pod = critical(json!({"cpu": "1"}));
        pod.spec.as_mut().unwrap().node_name = Some("there".to_owned());
        pod
    };
    let reason = verdict(&elsewhere, vec![burstable("a", "1")], &node());
    assert!(reason.starts_with("OutOfcpu"), "nobody is stopped for a pod that cannot run anyway");
}

#[test]
fn rejections_as_status_and_metric() {
    let reject = |resource: &str| crate::Reject::new(format!("OutOf{resource}"), "why");
    assert_eq!(reject("cpu").metric_label(), "OutOfcpu");
    assert_eq!(reject("example.com/gpu").metric_label(), "OutOfExtendedResources");
    assert_eq!(crate::Reject::new("Else", "").metric_label(), "Other");
    assert_eq!(reject("cpu").ended().message, "Pod was rejected: why");
}

proptest! {
    /// Without its victims the pod fits; with any one of them kept, of those alone that were needed, it may not.
    #[test]
    fn victims_suffice(
        others in prop::collection::vec((0i64..400, 0i64..400, prop::bool::ANY), 0..8),
        cpu in 1i64..1200,
        memory in 1i64..1200,
    ) {
        let node = node();
        let active: Vec<Arc<Pod>> = others
            .iter()
            .enumerate()
            .map(|(index, (cpu, memory, critical))| {
                let mut pod = asking(&format!("p{index}"), json!({"cpu": format!("{cpu}m"), "memory": memory.to_string()}));
                pod.spec.as_mut().unwrap().priority = Some(if *critical { 2_000_000_000 } else { 0 });
                Arc::new(pod)
            })
            .collect();
        let pod = critical(json!({"cpu": format!("{cpu}m"), "memory": memory.to_string()}));
        match admit(&AdmitInput { pod: &pod, active: &active, node: &node }) {
            Verdict::Run => {}
            Verdict::Preempt { victims, .. } => {
                let stays = |pod: &&Arc<Pod>| !victims.contains(&types::PodRef::of(pod));
                let left: Vec<_> = active.iter().filter(stays).cloned().collect();
                prop_assert_eq!(left.len() + victims.len(), active.len());
                prop_assert_eq!(admit(&AdmitInput { pod: &pod, active: &left, node: &node }), Verdict::Run);
                let gone = active.iter().filter(|pod| !stays(pod));
                prop_assert!(gone.into_iter().all(|pod| !types::pod::is_critical(pod)));
            }
            Verdict::Reject(_) => {
                let left: Vec<_> = active.iter().filter(|pod| types::pod::is_critical(pod)).cloned().collect();
                let alone = admit(&AdmitInput { pod: &pod, active: &left, node: &node });
                prop_assert!(alone != Verdict::Run, "all others together would have made room");
            }
        }
    }
}

#[test]
fn resources_of_the_whole_pod_need_their_gate() {
    let asks = || pod("p", json!({"containers": [{"name": "c"}], "resources": {"limits": {"cpu": "1m"}}}));
    assert!(verdict(&asks(), Vec::new(), &node()).starts_with("PodLevelResourcesNotSupported: "));
    assert_eq!(verdict(&asks(), Vec::new(), &Node { pod_level_resources: true, ..node() }), "run");
}
