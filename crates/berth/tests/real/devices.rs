//! Claims that containers get as block devices.

use std::time::Duration;

use kubeapi::Deletion;
use serde_json::json;
use testkit::csi::{DriverOptions, Mounting, TestDriver};
use testkit::disk::Disk;
use testkit::pod::pod;
use tokio::time::{Instant, sleep};
use types::Pod;
use types::corev1::{PersistentVolume, PersistentVolumeClaim};
use types::k8s::api::storage::v1::CSIDriver;

use crate::objects::{administrator, create};
use crate::rig::{FOREVER, Rig, deadline};

const DRIVER: &str = "d.example";

#[tokio::test]
async fn real_a_container_reads_and_writes_a_block_device_through_a_kill_of_berth() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("disk.img");
    let mut content = vec![0; 1 << 20];
    content[..6].copy_from_slice(b"canary");
    std::fs::write(&file, content).unwrap();
    let Some(disk) = Disk::on(&file) else {
        println!("skipped: this kernel has no loop device");
        return;
    };
    let mut rig = Rig::solo().await;
    rig.until_up().await;
    let admin = administrator(&rig).await;
    let options = DriverOptions::new(DRIVER, Mounting::Real);
    let options = DriverOptions { device: Some(disk.0.clone()), ..options };
    let mut driver = TestDriver::start(dir.path(), options).unwrap();
    let plugins = rig.node.root().join("plugins_registry");
    rig.until_machine("the directory of plugins", || plugins.is_dir()).await;
    driver.register(&plugins).unwrap();
    let object = json!({"metadata": {"name": DRIVER}, "spec": {"attachRequired": false}});
    let object: CSIDriver = serde_json::from_value(object).unwrap();
    admin.create(None, &object).await.unwrap();
    let volume = json!({
        "metadata": {"name": "pv-disk"},
        "spec": {
            "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteOnce"], "volumeMode": "Block",
            "storageClassName": "", "csi": {"driver": DRIVER, "volumeHandle": "disk"},
        },
    });
    let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
    admin.create(None, &volume).await.unwrap();
    let claim = json!({
        "metadata": {"name": "disk"},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": "pv-disk",
            "volumeMode": "Block", "resources": {"requests": {"storage": "1Mi"}},
        },
    });
    create::<PersistentVolumeClaim>(&admin, claim).await;

    let main = json!({"volumeDevices": [{"name": "disk", "devicePath": "/dev/xvda"}]});
    let spec = json!({
        "automountServiceAccountToken": false,
        "volumes": [{"name": "disk", "persistentVolumeClaim": {"claimName": "disk"}}],
    });
    let db = pod("db").container("main", &FOREVER).with_container("main", &main).with_spec(&spec).build();
    let mut db = Pod::clone(&db);
    // The rig looks for pods by the names of static ones.
    (db.metadata.name, db.metadata.uid) = (Some(rig.full("db")), None);
    admin.create(Some("default"), &db).await.unwrap();
    let pod = rig.until_ready("db").await;
    assert_eq!(rig.sh(&pod, "main", "dd if=/dev/xvda bs=6 count=1 2>/dev/null").await, "canary");
    rig.node.kill().await.unwrap();
    rig.node.start_solo().unwrap();
    rig.until_up().await;
    let write = "printf written | dd of=/dev/xvda bs=512 seek=1 conv=notrunc,fsync 2>/dev/null";
    rig.sh(&pod, "main", write).await;
    let give_up = Instant::now() + deadline();
    // The API server was killed too, and is back a moment after berth, at another port.
    let (name, now) = (rig.full("db"), Deletion::default());
    while let Err(error) = administrator(&rig).await.delete::<Pod>(Some("default"), &name, &now).await {
        assert!(Instant::now() < give_up, "{error}");
        sleep(Duration::from_millis(50)).await;
    }
    while !driver.staged().is_empty() {
        assert!(Instant::now() < give_up, "it stays staged:\n{}", rig.node.log_tail());
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        (driver.changes(), driver.damage()),
        (vec!["NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"], vec![],)
    );
    // Its socket is in berth's directory.
    drop((driver, disk));
    let content = std::fs::read(&file).unwrap();
    assert_eq!((&content[..6], &content[512..519]), (&b"canary"[..], &b"written"[..]));
    rig.finish().await;
}
