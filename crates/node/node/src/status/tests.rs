use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use types::corev1::{NodeAddress, NodeCondition, NodeSystemInfo};
use types::k8s::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use types::k8s::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::facts::{Addresses, Obstacle, Pressure};
use crate::testing::{Scene, image, later, now, runtime};
use crate::{InUse, RuntimeHealth};

fn fresh(scene: &Scene) -> NodeStatus {
    derive(&NodeStatus::default(), scene.inputs(), now())
}

fn condition<'a>(status: &'a NodeStatus, type_: &str) -> &'a NodeCondition {
    let conditions = status.conditions.as_ref().unwrap();
    conditions.iter().find(|condition| condition.type_ == type_).unwrap()
}

/// Status, reason and message.
fn said<'a>(status: &'a NodeStatus, type_: &str) -> (&'a str, &'a str, &'a str) {
    let condition = condition(status, type_);
    (&condition.status, condition.reason.as_deref().unwrap(), condition.message.as_deref().unwrap())
}

fn ips(text: &[&str]) -> Vec<IpAddr> {
    text.iter().map(|ip| ip.parse().unwrap()).collect()
}

#[test]
fn deriving_again_changes_only_heartbeats() {
    let scene = Scene::ready();
    let first = fresh(&scene);
    let mut second = derive(&first, scene.inputs(), later(60));
    for condition in second.conditions.iter_mut().flatten() {
        assert_eq!(condition.last_heartbeat_time, Some(Time(later(60))));
        condition.last_heartbeat_time = Some(Time(now()));
    }
    assert_eq!(second, first);
}

#[test]
fn addresses() {
    let (v4, both) = (ips(&["10.0.0.1"]), ips(&["10.0.0.1", "fd00::1"]));
    let cloud = |internal: &[IpAddr], given: &[IpAddr]| Addresses {
        internal: internal.to_vec(),
        given: given.to_vec(),
        external_cloud: true,
    };
    let own = |internal: &[IpAddr]| Addresses { external_cloud: false, ..cloud(internal, &[]) };
    let theirs = NodeAddress { type_: "ExternalIP".into(), address: "1.2.3.4".into() };
    for (addresses, there, expected) in [
        (own(&v4), None, "InternalIP=10.0.0.1 Hostname=node-1"),
        (own(&both), None, "InternalIP=10.0.0.1 InternalIP=fd00::1 Hostname=node-1"),
        (own(&v4), Some(&theirs), "InternalIP=10.0.0.1 Hostname=node-1"),
        (cloud(&[], &[]), None, "Hostname=node-1"),
        (cloud(&v4, &v4), None, "InternalIP=10.0.0.1 Hostname=node-1"),
        (cloud(&v4, &v4), Some(&theirs), "ExternalIP=1.2.3.4"),
    ] {
        let mut scene = Scene::ready();
        scene.facts.addresses = addresses.clone();
        let before =
            NodeStatus { addresses: there.map(|address| vec![address.clone()]), ..NodeStatus::default() };
        let status = derive(&before, scene.inputs(), now());
        let shown: Vec<String> =
            status.addresses.unwrap().iter().map(|a| format!("{}={}", a.type_, a.address)).collect();
        assert_eq!(shown.join(" "), expected, "{addresses:?}");
    }
    assert_eq!(provided_node_ip(&cloud(&both, &both)).as_deref(), Some("10.0.0.1,fd00::1"));
    assert_eq!(provided_node_ip(&cloud(&both, &[])), None);
    assert_eq!(provided_node_ip(&own(&v4)), None);
}

#[test]
fn the_machine_and_its_programs() {
    let mut scene = Scene::ready();
    let info = fresh(&scene).node_info.unwrap();
    assert_eq!(info.container_runtime_version, "containerd://1.6.20");
    assert_eq!((info.operating_system.as_str(), info.architecture.as_str()), ("linux", "amd64"));
    assert_eq!((info.boot_id.as_str(), info.kube_proxy_version.as_str(), info.swap), ("boot-1", "", None));

    scene.facts.runtime = None;
    scene.facts.machine.swap_bytes = 1 << 30;
    let before =
        NodeSystemInfo { container_runtime_version: "containerd://2.0".into(), ..NodeSystemInfo::default() };
    let status =
        derive(&NodeStatus { node_info: Some(before), ..NodeStatus::default() }, scene.inputs(), now());
    let info = status.node_info.unwrap();
    assert_eq!(info.container_runtime_version, "containerd://2.0");
    assert_eq!(info.swap.unwrap().capacity, Some(1 << 30));
}

#[test]
fn what_the_runtime_can_do() {
    let mut scene = Scene::ready();
    let status = fresh(&scene);
    let handlers = status.runtime_handlers.clone().unwrap();
    let names: Vec<_> = handlers.iter().map(|handler| handler.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["", "runc"]);
    let features = handlers[0].features.clone().unwrap();
    assert_eq!((features.recursive_read_only_mounts, features.user_namespaces), (Some(true), Some(false)));
    assert_eq!(status.features.clone().unwrap().supplemental_groups_policy, Some(true));
    assert_eq!(status.daemon_endpoints.clone().unwrap().kubelet_endpoint.unwrap().port, 10250);
    assert_eq!(status.declared_features.as_ref().unwrap().len(), 1);

    // As long as the runtime is silent, what it said before stays.
    scene.runtime = RuntimeHealth::unknown(now());
    assert_eq!(derive(&status, scene.inputs(), now()).runtime_handlers, Some(handlers));
}

#[test]
fn images_are_the_largest_with_digests_first() {
    let mut scene = Scene::ready();
    let mut big = image("sha256:3", 300);
    big.repo_tags = (0..9).map(|n| format!("example.com/big:{n}")).collect();
    scene.facts.images =
        Some(Arc::new(vec![image("sha256:b", 7), image("sha256:a", 7), big, image("sha256:1", 8)]));
    scene.facts.max_images = Some(3);
    let shown = fresh(&scene).images.unwrap();
    let sizes: Vec<_> = shown.iter().map(|image| image.size_bytes.unwrap()).collect();
    assert_eq!(sizes, [300, 8, 7]);
    let names = shown[0].names.as_ref().unwrap();
    assert_eq!((names.len(), names[0].as_str()), (5, "example.com/300@sha256:3"));
    assert!(shown[2].names.as_ref().unwrap()[0].ends_with("sha256:a"));

    for (max, count) in [(None, 4), (Some(0), 0)] {
        scene.facts.max_images = max;
        assert_eq!(fresh(&scene).images.map_or(0, |images| images.len()), count);
    }
    // Not listed yet is not the same as none.
    let before = fresh(&Scene::ready());
    scene.facts.images = None;
    assert_eq!(derive(&before, scene.inputs(), now()).images, before.images);
}

#[test]
fn resources_of_others_stay_and_huge_pages_that_are_gone_go() {
    let scene = Scene::ready();
    let mut before = fresh(&scene);
    let amount = |text: &str| ApiQuantity(text.to_owned());
    let capacity = before.capacity.as_mut().unwrap();
    capacity.insert("example.com/dongle".into(), amount("4"));
    capacity.insert("hugepages-1Gi".into(), amount("1Gi"));
    capacity.insert("memory".into(), amount("8388608Ki"));
    before.allocatable.as_mut().unwrap().insert("example.com/gone".into(), amount("1"));
    let after = derive(&before, scene.inputs(), now());
    let (capacity, allocatable) = (after.capacity.unwrap(), after.allocatable.unwrap());
    assert_eq!(allocatable["example.com/dongle"].0, "4");
    assert!(!allocatable.contains_key("example.com/gone"));
    assert!(!capacity.contains_key("hugepages-1Gi") && capacity.contains_key("hugepages-2Mi"));
    assert_eq!(capacity["memory"].0, "8388608Ki", "8Gi in other words is no news");
    assert_eq!((capacity["cpu"].0.as_str(), allocatable["cpu"].0.as_str()), ("4", "3500m"));
    for (name, extended) in
        [("example.com/gpu", true), ("cpu", false), ("kubernetes.io/x", false), ("requests.a.io/x", false)]
    {
        assert_eq!(is_extended(name), extended, "{name}");
    }
}

#[test]
fn pressures() {
    let mut scene = Scene::ready();
    let well = fresh(&scene);
    for (type_, reason) in [
        ("MemoryPressure", "KubeletHasSufficientMemory"),
        ("DiskPressure", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "KubeletHasSufficientPID"),
    ] {
        assert_eq!((said(&well, type_).0, said(&well, type_).1), ("False", reason));
    }
    scene.strain.pressures = BTreeSet::from([Pressure::Memory, Pressure::Disk, Pressure::Pid]);
    let bad = derive(&well, scene.inputs(), later(5));
    for (type_, reason) in [
        ("MemoryPressure", "KubeletHasInsufficientMemory"),
        ("DiskPressure", "KubeletHasDiskPressure"),
        ("PIDPressure", "KubeletHasInsufficientPID"),
    ] {
        assert_eq!((said(&bad, type_).0, said(&bad, type_).1), ("True", reason));
        assert_eq!(condition(&bad, type_).last_transition_time, Some(Time(later(5))));
    }
    assert_eq!(condition(&bad, "Ready").last_transition_time, Some(Time(now())));
    let order: Vec<_> = bad.conditions.unwrap().into_iter().map(|condition| condition.type_).collect();
    assert_eq!(order, OWNED);
}

#[test]
fn ready_names_every_cause() {
    let mut scene = Scene::ready();
    let well = fresh(&scene);
    assert_eq!((said(&well, "Ready").0, said(&well, "Ready").1), ("True", "KubeletReady"));

    scene.runtime = runtime(true, false);
    let status = derive(&well, scene.inputs(), later(1));
    assert_eq!(said(&status, "Ready"), ("False", "KubeletNotReady", "there is no network"));

    scene.strain.obstacles.insert(Obstacle::Shutdown, "the machine shuts down".into());
    scene.strain.obstacles.insert(Obstacle::CsiNode, "no CSINode".into());
    let status = derive(&status, scene.inputs(), later(2));
    assert_eq!(said(&status, "Ready").2, "[there is no network, no CSINode, the machine shuts down]");
    assert_eq!(condition(&status, "Ready").last_transition_time, Some(Time(later(1))));
}

#[test]
fn a_restart_leaves_ready_alone_until_the_runtime_is_known() {
    let mut scene = Scene::ready();
    let before = fresh(&scene);
    scene.runtime = RuntimeHealth::unknown(now());
    assert_eq!(said(&fresh(&scene), "Ready").0, "False", "a new node is not ready yet");
    assert_eq!(said(&derive(&before, scene.inputs(), later(9)), "Ready"), said(&before, "Ready"));

    scene.facts.machine.boot_id = "boot-2".into();
    let rebooted = derive(&before, scene.inputs(), later(9));
    assert_eq!(said(&rebooted, "Ready").0, "False", "what was said before the boot is no longer true");
}

#[test]
fn conditions_and_volumes_of_others_stay() {
    let mut scene = Scene::ready();
    let theirs = NodeCondition {
        type_: "NetworkUnavailable".into(),
        status: "True".into(),
        ..NodeCondition::default()
    };
    let before = NodeStatus {
        conditions: Some(vec![theirs.clone()]),
        volumes_in_use: Some(vec!["v".into()]),
        ..NodeStatus::default()
    };
    let after = derive(&before, scene.inputs(), now());
    assert_eq!(after.conditions.unwrap()[0], theirs);
    assert_eq!(after.volumes_in_use, before.volumes_in_use, "not known yet is not the same as none");
    for (volumes, expected) in [(&[][..], None), (&["w", "u"], Some(vec!["u".to_owned(), "w".to_owned()]))] {
        let volumes = volumes.iter().map(|name| ((*name).to_owned(), 1)).collect();
        scene.in_use = Some(InUse { generation: 1, volumes });
        assert_eq!(derive(&before, scene.inputs(), now()).volumes_in_use, expected);
    }
}
