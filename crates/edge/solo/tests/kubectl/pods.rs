//! Pods: their state as it is printed, waiting for it, deleting with grace.

use std::io::{BufRead as _, BufReader};

use crate::cluster::Cluster;
use crate::manifests;

/// Writes a status as a node would.
fn tell(cluster: &Cluster, change: impl FnOnce(&mut serde_json::Value)) {
    let mut pod = cluster.json("get pod x");
    change(&mut pod);
    cluster
        .with(&["replace", "--raw", "/api/v1/namespaces/default/pods/x/status", "-f", "-"], &pod.to_string());
}

fn run(cluster: &Cluster) {
    tell(cluster, |pod| {
        pod["status"]["phase"] = "Running".into();
        pod["status"]["podIP"] = "10.1.0.7".into();
        pod["status"]["podIPs"] = serde_json::json!([{"ip": "10.1.0.7"}]);
        pod["status"]["containerStatuses"] = serde_json::json!([{"name": "a", "image": "nginx:1", "imageID": "i",
            "ready": true, "restartCount": 2, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]);
        let conditions = pod["status"]["conditions"].as_array_mut().unwrap();
        conditions.push(serde_json::json!({"type": "Ready", "status": "True"}));
    });
}

#[test]
fn real_pods_as_their_node_tells() {
    let Some(cluster) = Cluster::with_node() else { return };
    cluster.create(manifests::POD);
    assert!(cluster.ok("get pod x --no-headers").contains("0/1"));
    let late = cluster.fails("wait --for=condition=Ready pod/x --timeout=1s");
    assert!(late.contains("timed out"), "{late}");
    let waits = cluster.spawn("wait --for=condition=Ready pod/x --timeout=30s");
    let mut watches = cluster.spawn("get pod x -w --no-headers");
    let mut lines = BufReader::new(watches.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("Pending"));
    run(&cluster);
    assert!(lines.next().unwrap().unwrap().contains("Running"));
    assert!(waits.wait_with_output().unwrap().status.success());
    let wide = cluster.ok("get pod x -o wide --no-headers");
    for cell in ["1/1", "Running", "2", "10.1.0.7", "n1"] {
        assert!(wide.contains(cell), "{cell}: {wide}");
    }
    assert!(cluster.ok("describe pod x").contains("10.1.0.7"));
    if cluster.minor >= 23 {
        cluster.ok("wait --for=jsonpath={.status.phase}=Running pod/x --timeout=20s");
    }
    if cluster.minor >= 24 {
        let status = r#"{"status":{"reason":"Because"}}"#;
        cluster.ok(&format!("patch pod x --subresource=status --type=merge -p {status}"));
        assert!(cluster.ok("get pod x").contains("Because"));
    }
    cluster.ok("delete pod x");
    assert!(lines.any(|line| line.unwrap().contains("x")));
    watches.kill().unwrap();
    watches.wait().unwrap();
}

#[test]
fn real_deletion_with_grace() {
    let Some(cluster) = Cluster::with_node() else { return };
    cluster.create(manifests::POD);
    run(&cluster);
    cluster.ok("delete pod x --grace-period=30 --wait=false");
    let pod = cluster.json("get pod x");
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 30);
    assert!(cluster.ok("get pod x").contains("Terminating"));
    cluster.ok("delete pod x --grace-period=5 --wait=false");
    assert_eq!(cluster.json("get pod x")["metadata"]["deletionGracePeriodSeconds"], 5);
    let waits = cluster.spawn("wait --for=delete pod/x --timeout=30s");
    cluster.ok("delete pod x --grace-period=0 --force");
    // It may look for the pod only when that is gone; older ones complain then.
    let ended = waits.wait_with_output().unwrap();
    assert!(ended.status.success() || cluster.minor < 27, "{ended:?}");
}

#[test]
fn real_pods_ask_for_events_by_their_fields() {
    let Some(cluster) = Cluster::with_node() else { return };
    cluster.create(manifests::POD);
    let uid = cluster.ok("get pod x -o jsonpath={.metadata.uid}");
    let about = format!("name: x, namespace: default, uid: {uid}");
    cluster.create(&manifests::EVENT.replace("name: x, namespace: default", &about));
    let described = cluster.ok("describe pod x");
    assert!(described.contains("Pulled") && described.contains("the image is there"), "{described}");
    let selected = "get events --field-selector involvedObject.name=x,type=Normal -o name";
    assert_eq!(cluster.ok(selected), "event/x");
    assert_eq!(cluster.ok("get events --field-selector type=Warning -o name"), "");
}
