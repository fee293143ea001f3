//! Mounts inside of volumes: those that containers make, and volumes mounted on one another.

use std::fs;

use serde_json::{Value, json};
use testkit::pod::pod;

use crate::rig::{FOREVER, Rig, container, uid};

fn mount(path: &str, propagation: &str) -> Value {
    json!({"name": "v", "mountPath": path, "mountPropagation": propagation})
}

#[tokio::test]
async fn real_mounts_of_containers_reach_whom_they_should_and_outlive_berth() {
    let mut rig = Rig::start().await;
    let giver =
        json!({"securityContext": {"privileged": true}, "volumeMounts": [mount("/v", "Bidirectional")]});
    let taker = json!({"volumeMounts": [mount("/v", "HostToContainer")]});
    // A volume on a directory of another one, and a part of one below that.
    let alone = json!({"volumeMounts": [mount("/v", "None"), {"name": "w", "mountPath": "/v/nested"},
        {"name": "w", "mountPath": "/v/nested/deep", "subPath": "part"}]});
    let all = pod("mounts")
        .container("giver", &FOREVER)
        .container("taker", &FOREVER)
        .container("alone", &FOREVER)
        .with_container("giver", &giver)
        .with_container("taker", &taker)
        .with_container("alone", &alone)
        .with_spec(&json!({"volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "emptyDir": {}}]}));
    rig.put("mounts", &all);
    let pod = rig.until_ready("mounts").await;
    rig.sh(&pod, "giver", "mkdir /v/inner && mount -t tmpfs inner /v/inner && echo given > /v/inner/f").await;
    rig.sh(&pod, "alone", "echo deep > /v/nested/deep/f").await;
    let inner = rig.node.root().join("pods").join(uid(&pod)).join("volumes/kubernetes.io~empty-dir/v/inner");
    let starts =
        |pod: &Value| ["giver", "taker", "alone"].map(|name| container(pod, name)["containerID"].clone());
    for _ in 0..2 {
        assert_eq!(fs::read_to_string(inner.join("f")).unwrap(), "given\n");
        assert_eq!(rig.sh(&pod, "taker", "cat /v/inner/f").await, "given\n");
        assert_eq!(
            rig.sh(&pod, "alone", "ls /v/inner; cat /v/nested/part/f /v/nested/deep/f").await,
            "deep\ndeep\n"
        );
        rig.node.kill().await.unwrap();
        rig.node.start().unwrap();
        rig.until_up().await;
        assert_eq!(starts(&rig.until_ready("mounts").await), starts(&pod), "a container was started again");
    }
    // What is mounted after a restart still reaches the others, and goes when it is unmounted.
    rig.sh(&pod, "giver", "mkdir /v/late && mount -t tmpfs late /v/late && echo late > /v/late/f").await;
    assert_eq!(rig.sh(&pod, "taker", "cat /v/late/f").await, "late\n");
    rig.sh(&pod, "giver", "umount /v/late").await;
    assert_eq!(rig.sh(&pod, "taker", "ls /v/late").await, "");
    // What is mounted still goes with the pod, which `finish` proves.
    rig.finish().await;
}
