//! Volumes of servers of the network, from a manifest to a container. In the emulated machine alone, which has such servers.

use std::fs;

use lab::targets::{Initiator, NfsServer, Target, Turn, sessions};
use serde_json::json;
use testkit::pod::pod;

use crate::rig::{FOREVER, Rig, id, uid};

const IQN: &str = "iqn.2026-01.dev.berth:served";
const AT: &str = "127.0.0.1:3260";

#[tokio::test]
async fn real_volumes_of_servers_in_a_container() {
    let turn = match Turn::take().unwrap() {
        Ok(turn) => turn,
        Err(why) => {
            println!("skipped volumes of servers: {why}");
            return;
        }
    };
    let mut rig = Rig::start().await;
    let export = rig.dir().join("export");
    fs::create_dir(&export).unwrap();
    let server = NfsServer::start(&turn, &export).await.unwrap();
    let target = Target::start(&turn, rig.dir(), IQN, &[AT], &[24], None).unwrap();
    let initiator = Initiator::start(&turn, false).await.unwrap();
    let spec = json!({"securityContext": {"fsGroup": 2000}, "volumes": [
        {"name": "share", "nfs": {"server": server.address(), "path": export}},
        {"name": "disk", "iscsi": {"targetPortal": AT, "iqn": IQN, "lun": 0}},
    ]});
    let mounts = json!({"volumeMounts": [
        {"name": "share", "mountPath": "/share"}, {"name": "disk", "mountPath": "/disk"},
    ]});
    let served = pod("served")
        .grace_period(1)
        .container("main", &FOREVER)
        .with_container("main", &mounts)
        .with_spec(&spec);
    rig.put("served", &served);
    let before = rig.until_ready("served").await;
    let written = "echo share > /share/canary; echo disk > /disk/canary; stat -c %g /disk";
    assert_eq!(rig.sh(&before, "main", written).await, "2000\n");

    rig.node.kill().await.unwrap();
    rig.node.start().unwrap();
    let after = rig.until_ready("served").await;
    assert_eq!(id(&after, "main"), id(&before, "main"));
    rig.remove("served");
    rig.until_gone("served", &uid(&after)).await;
    assert_eq!(fs::read_to_string(export.join("canary")).unwrap(), "share\n");
    assert_eq!(sessions().unwrap(), Vec::<String>::new());

    rig.put("served", &served);
    let again = rig.until_ready("served").await;
    assert_eq!(rig.sh(&again, "main", "cat /share/canary /disk/canary").await, "share\ndisk\n");
    rig.remove("served");
    rig.until_gone("served", &uid(&again)).await;
    drop((initiator, target, server));
    rig.finish().await;
}
