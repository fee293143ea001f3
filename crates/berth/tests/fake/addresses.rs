//! The node's addresses as they come and go, in a network namespace of berth's own.

use lab::debian::{IPROUTE2, ensure};
use serde_json::Value;
use testkit::pod::pod;

use crate::rig::{Rig, container};

/// Makes a network of one interface that leads to the world.
fn give_network(rig: &Rig, address: &str) {
    for step in [
        "link add uplink type bridge",
        &format!("address add {address}/24 dev uplink"),
        "link set uplink up",
        "route add default dev uplink",
    ] {
        rig.ip(step);
    }
}

#[tokio::test]
async fn a_node_runs_pods_without_an_address_and_follows_it() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: network namespaces take root");
        return;
    }
    ensure(&[IPROUTE2]).unwrap();
    let mut rig = Rig::prepare("").await;
    rig.under = &["unshare", "--net"];
    rig.launch();
    rig.put(&pod("web").container("main", &["run"]));
    let web = rig.until_ready("web").await;
    assert_eq!(web["status"]["hostIP"], Value::Null, "{web:#}");
    give_network(&rig, "192.0.2.10");
    rig.until_pod("web", "its node's address", |pod| pod["status"]["hostIP"] == "192.0.2.10").await;
    rig.ip("address add 198.51.100.7/24 dev uplink");
    rig.ip("address delete 192.0.2.10/24 dev uplink");
    rig.ip("route replace default dev uplink");
    rig.until_pod("web", "its node's new address", |pod| pod["status"]["hostIP"] == "198.51.100.7").await;
    assert_eq!(container(&rig.pod("web").await, "main")["restartCount"], 0);
}
