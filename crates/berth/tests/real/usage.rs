//! What a pod uses, as the node's own API tells it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::containerd::{Node, Version};
use testkit::disk::CountingDisk;
use testkit::pod::pod;
use testkit::tls::TlsClient;
use tokio::time::{Instant, sleep};

use crate::port::{served, served_with};
use crate::rig::{FOREVER, Rig, deadline, uid};

#[tokio::test]
async fn real_usage_of_a_pod_is_in_the_summary() {
    let (mut rig, client) = served().await;
    rig.put("web", &pod("web").container("main", &FOREVER));
    rig.until_ready("web").await;
    let (status, text) = client.get("/stats/summary").await.unwrap();
    assert_eq!(status, 200, "{text}");
    let summary: Value = serde_json::from_str(&text).unwrap();
    let pods = summary["pods"].as_array().unwrap();
    let web = pods.iter().find(|pod| pod["podRef"]["name"] == rig.full("web")).expect("the pod is there");
    for used in [&summary["node"], web, &web["containers"][0]] {
        for (group, field) in [("cpu", "usageCoreNanoSeconds"), ("memory", "workingSetBytes")] {
            let value = used[group][field].as_u64().unwrap_or(0);
            assert!(value > 0, "{group}.{field}: {used}");
        }
    }
    for path in ["/metrics/resource", "/metrics/cadvisor"] {
        let (status, text) = client.get(path).await.unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        assert!(text.contains(&format!("pod=\"{}\"", rig.full("web"))), "{path}: {text}");
    }
    rig.finish().await;
}

#[tokio::test]
async fn real_what_a_file_system_has_counted_is_in_the_summary() {
    let version = Version::installed().unwrap();
    if version.major < 2 {
        println!(
            "skipped project quotas: containerd {}.{} does not map a pod's users",
            version.major, version.minor
        );
        return;
    }
    let mut disk = Err(String::new());
    let yaml =
        "featureGates: {LocalStorageCapacityIsolationFSQuotaMonitoring: true}\nvolumeStatsAggPeriod: 1ms\n";
    let mount = |node: &Node| {
        let pods = node.root().join("pods");
        disk = CountingDisk::mount("ext4", &pods);
        let _ = fs::remove_dir(pods.join("lost+found"));
    };
    let (mut rig, client) = served_with(yaml, mount).await;
    let disk = match disk {
        Ok(disk) => disk,
        Err(why) => {
            println!("skipped project quotas: {why}");
            return rig.finish().await;
        }
    };
    let spec = json!({"hostUsers": false, "volumes": [{"name": "v", "emptyDir": {}}]});
    let mounts = json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]});
    let counted = pod("counted").container("main", &FOREVER).with_container("main", &mounts).with_spec(&spec);
    rig.put("counted", &counted);
    let pod = rig.until_ready("counted").await;
    rig.sh(&pod, "main", "mkdir /v/d && dd if=/dev/zero of=/v/d/f bs=1M count=3 2>/dev/null && sync").await;
    let path = disk.point().join(uid(&pod)).join("volumes/kubernetes.io~empty-dir/v");
    until_counted(&rig, &client, &path, "at first").await;
    rig.node.kill().await.unwrap();
    rig.node.start().unwrap();
    rig.until_up().await;
    until_counted(&rig, &client, &path, "after kill -9").await;
    rig.remove("counted");
    rig.until_gone("counted", &uid(&pod)).await;
    let noted = || fs::read_to_string("/etc/projects").unwrap_or_default();
    rig.until_machine("the project is released", || !noted().contains(&uid(&pod))).await;
    drop(disk);
    rig.finish().await;
}

/// Waits until the volume is counted. Right after a start nobody listens yet, and then it is looked through.
async fn until_counted(rig: &Rig, client: &TlsClient, path: &Path, when: &str) {
    let give_up = Instant::now() + deadline();
    while !is_counted(client, &rig.full("counted"), path).await {
        assert!(Instant::now() < give_up, "{when}:\n{}", rig.node.log_tail());
        sleep(Duration::from_millis(50)).await;
    }
}

/// Whether the agent has asked file systems what they have counted. What it tells of the pod's volume is right in any case.
async fn is_counted(client: &TlsClient, pod: &str, path: &Path) -> bool {
    let Ok((200, text)) = client.get("/stats/summary").await else { return false };
    let summary: Value = serde_json::from_str(&text).unwrap();
    let pods = summary["pods"].as_array().into_iter().flatten();
    let volumes = pods.filter(|of| of["podRef"]["name"] == pod).flat_map(|of| of["volume"].as_array());
    let Some(volume) = volumes.flatten().find(|volume| volume["name"] == "v") else { return false };
    let used = linux::diskuse::of(path).unwrap();
    assert_eq!((&volume["usedBytes"], &volume["inodesUsed"]), (&json!(used.bytes), &json!(used.inodes)));
    let (_, metrics) = client.get("/metrics").await.unwrap();
    metrics.contains("kubelet_volume_metric_collection_duration_seconds_count{metric_source=\"fsquota\"}")
}
