//! Namespaces: the node's own, those that containers share, and users of their own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use serde_json::json;
use testkit::containerd::{Options, Version};
use testkit::pod::pod;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::rig::{FOREVER, Rig, deadline, uid};

#[tokio::test]
async fn real_pods_have_the_namespaces_they_ask_for() {
    let mut rig = Rig::start().await;
    rig.put("own", &pod("own").container("a", &FOREVER).container("b", &FOREVER));
    rig.put(
        "node",
        &pod("node")
            .container("a", &FOREVER)
            .with_spec(&json!({"hostNetwork": true, "hostPID": true, "hostIPC": true})),
    );
    let shared = json!({"shareProcessNamespace": true});
    rig.put("shared", &pod("shared").container("a", &FOREVER).container("b", &FOREVER).with_spec(&shared));
    let host = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display().to_string();
    let link = |name: &str| format!("readlink /proc/self/ns/{name}");

    let own = rig.until_ready("own").await;
    for name in ["net", "ipc", "uts"] {
        let a = rig.sh(&own, "a", &link(name)).await;
        assert_eq!(a, rig.sh(&own, "b", &link(name)).await, "{name} is not shared by the pod's containers");
        assert_ne!(a.trim(), host(name), "{name} is the node's");
    }
    assert_ne!(rig.sh(&own, "a", &link("pid")).await, rig.sh(&own, "b", &link("pid")).await);

    let node = rig.until_ready("node").await;
    for name in ["net", "pid", "ipc"] {
        assert_eq!(rig.sh(&node, "a", &link(name)).await.trim(), host(name), "{name} is not the node's");
    }
    assert_eq!(node["status"]["podIP"], node["status"]["hostIP"]);
    let seen = rig.sh(&node, "a", &format!("cat /proc/{}/comm", std::process::id())).await;
    assert_eq!(seen, fs::read_to_string("/proc/self/comm").unwrap(), "this process in the node's /proc");

    let shared = rig.until_ready("shared").await;
    assert_eq!(rig.sh(&shared, "a", &link("pid")).await, rig.sh(&shared, "b", &link("pid")).await);
    assert_ne!(
        rig.sh(&shared, "a", "cat /proc/1/cmdline").await,
        rig.sh(&shared, "a", "cat /proc/self/cmdline").await
    );
    rig.finish().await;
}

#[tokio::test]
async fn real_a_pod_has_users_of_its_own() {
    let version = Version::installed().unwrap();
    if version.major < 2 {
        println!(
            "skipped user namespaces: containerd {}.{} does not map a pod's users",
            version.major, version.minor
        );
        return;
    }
    let mut rig = Rig::start().await;
    let spec = json!({"hostUsers": false, "volumes": [{"name": "disk", "emptyDir": {}}]});
    let mounts = json!({"volumeMounts": [{"name": "disk", "mountPath": "/disk"}]});
    rig.put(
        "mapped",
        &pod("mapped").container("main", &FOREVER).with_container("main", &mounts).with_spec(&spec),
    );
    let pod = rig.until_ready("mapped").await;
    let map = rig.sh(&pod, "main", "cat /proc/self/uid_map").await;
    let numbers: Vec<u64> = map.split_whitespace().map(|n| n.parse().unwrap()).collect();
    assert!(numbers[0] == 0 && numbers[1] >= 65_536 && numbers[2] == 65_536, "{map}");
    // What the pod's root writes to a volume is root's on the node, for the next pod may have other users.
    assert_eq!(rig.sh(&pod, "main", "touch /disk/file && stat -c %u /disk/file").await, "0\n");
    let file = rig.node.root().join("pods").join(uid(&pod)).join("volumes/kubernetes.io~empty-dir/disk/file");
    assert_eq!(fs::metadata(file).unwrap().uid(), 0);
    rig.finish().await;
}

#[tokio::test]
async fn real_a_port_of_the_node_leads_to_the_pod() {
    // The plugin for it leaves packet filter chains behind: only on machines that are thrown away.
    if !fs::read_to_string("/etc/hostname").is_ok_and(|name| name.trim() == "berth-vm") {
        println!(
            "skipped host ports: the CNI plugin leaves packet filter rules behind on a machine that stays"
        );
        return;
    }
    let mut rig = Rig::with("", Options { host_ports: true, ..Options::default() }).await;
    let ports = json!({"ports": [{"containerPort": 8080, "hostPort": 18080}]});
    let serve = ["httpd", "-f", "-p", "8080", "-h", "/etc"];
    rig.put("port", &pod("port").grace_period(1).container("main", &serve).with_container("main", &ports));
    rig.until_ready("port").await;
    // The server runs before it listens.
    let listens = async {
        while TcpStream::connect("192.0.2.10:18080").await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(deadline(), listens).await.expect("the port leads to the pod");
    rig.finish().await;
}
