//! Volumes that berth mounts itself: an export of a server that is a program of the test, and a directory of the node.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::{Value, json};
use testkit::disk::Disk;
use testkit::fake::{Code, Fault, Match};
use testkit::pod::{PodBuilder, pod};
use types::corev1::{PersistentVolume, PersistentVolumeClaim};

use crate::api_server::ApiRig;
use crate::csi::{bind, by_claim};
use crate::rig::{DEADLINE, Rig, full};

const CANARY: &str = "canary";

fn directory(rig: &Rig, name: &str) -> PathBuf {
    let path = rig.file(name);
    fs::create_dir(&path).unwrap();
    fs::write(path.join(CANARY), name).unwrap();
    path
}

/// How often something is mounted below `path`.
fn mounts_below(path: &Path) -> usize {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|point| Path::new(point).starts_with(path))
        .count()
}

fn mounted(rig: &Rig, pod: &str) -> PathBuf {
    rig.runtime.read(|store| {
        let mounts = &store.container(pod, "app").unwrap().config.mounts;
        let path = mounts.iter().find(|mount| mount.container_path == "/data").unwrap().host_path.clone();
        path.into()
    })
}

fn with(name: &str, mut volume: Value) -> PodBuilder {
    volume["name"] = json!("data");
    pod(name)
        .container("app", &["run"])
        .with_container("app", &json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]}))
        .with_spec(&json!({"volumes": [volume]}))
}

/// Has berth find programs of the test before those of the system.
fn search_first(rig: &mut Rig) {
    fs::create_dir(rig.file("bin")).unwrap();
    let path = format!("{}:{}", rig.file("bin").display(), std::env::var("PATH").unwrap());
    rig.environment.push(("PATH", path));
}

fn program(rig: &Rig, name: &str, script: &str) {
    let path = rig.file("bin").join(name);
    fs::write(
        &path,
        format!("#!/bin/sh\necho \"{name} $*\" >> {}\n{script}\n", rig.file("called").display()),
    )
    .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_server_that_hangs_holds_up_its_own_static_pod_alone_over_a_kill() {
    let mut rig = Rig::prepare("").await;
    search_first(&mut rig);
    let (export, gate) = (directory(&rig, "export"), rig.file("gate"));
    rustix::fs::mknodat(rustix::fs::CWD, &gate, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    let script = format!(
        "for last; do :; done; read x < {}; exec /bin/mount --bind {} $last",
        gate.display(),
        export.display()
    );
    program(&rig, "mount", &script);
    let volumes = rig.root().join("pods");
    rig.launch();
    rig.put(&with("share", json!({"nfs": {"server": "nas", "path": "/export", "readOnly": true}})));
    let called = || async { json!(fs::read_to_string(rig.file("called")).unwrap_or_default()) };
    let calls = |calls: &Value| calls.as_str().unwrap().contains("mount -t nfs -o ro nas:/export ");
    rig.until("it is mounted", DEADLINE, called, calls).await;
    rig.put(&pod("free").container("app", &["run"]));
    rig.until_ready("free").await;

    rig.kill();
    rig.launch();
    let waits = |why: &Value| why.to_string().contains("an earlier command still runs");
    rig.until_why("share", "waits for the command", waits).await;
    rig.kill();
    fs::write(&gate, "\n").unwrap();
    let mounts = || async { json!(mounts_below(&volumes)) };
    rig.until("the command has ended", DEADLINE, mounts, |count| *count == json!(1)).await;
    rig.launch();
    rig.until_ready("share").await;
    let path = mounted(&rig, &full("share"));
    assert_eq!(mounts_below(&path), 1, "it is not mounted twice");
    assert_eq!(fs::read_to_string(path.join(CANARY)).unwrap(), "export");

    rig.remove("share");
    rig.until_gone("share").await;
    assert_eq!(mounts_below(&path), 0);
    assert_eq!(fs::read_to_string(export.join(CANARY)).unwrap(), "export");
    let called = fs::read_to_string(rig.file("called")).unwrap();
    assert_eq!(
        called.lines().count(),
        1,
        "others have the file system, and its server is not told: {called}"
    );
    rig.assert_proper();
}

/// Writes the manifest of the pod `web`, with a UID that does not depend on what is in it.
fn put(rig: &Rig, pod: &PodBuilder) {
    let mut manifest: Value = serde_json::from_str(&pod.manifest()).unwrap();
    manifest["metadata"]["uid"] = json!("always-the-same");
    rig.put_file("web.json", manifest.to_string());
}

#[tokio::test]
async fn a_pod_that_comes_back_waits_until_what_it_left_is_removed() {
    let mut rig = Rig::prepare("").await;
    search_first(&mut rig);
    let gate = rig.file("gate");
    rustix::fs::mknodat(rustix::fs::CWD, &gate, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    program(&rig, "mount", "for last; do :; done; exec /bin/mount -t tmpfs tmpfs $last");
    program(&rig, "umount", &format!("read x < {}; exec /bin/umount $*", gate.display()));
    rig.launch();
    // The runtime has nothing of it.
    let fault = Fault::Fail(Code::Unknown, "no room".to_owned());
    let fails = rig.runtime.fault(Match::call("RunPodSandbox"), fault);
    put(&rig, &with("web", json!({"nfs": {"server": "nas", "path": "/export"}})));
    rig.until_why("web", "has its volume", |why| why.to_string().contains("no room")).await;
    rig.kill();
    rig.remove("web");
    drop(fails);
    rig.launch();
    let called = || async { json!(fs::read_to_string(rig.file("called")).unwrap_or_default()) };
    rig.until("its volume is unmounted", DEADLINE, called, |calls| calls.to_string().contains("umount"))
        .await;
    put(&rig, &with("web", json!({"emptyDir": {}})));
    let waits = |why: &Value| why.to_string().contains("an earlier pod of its UID");
    rig.until_why("web", "waits for the end of that", waits).await;
    fs::write(&gate, "\n").unwrap();
    rig.until_ready("web").await;
    let path = mounted(&rig, &full("web"));
    assert!(path.ends_with("always-the-same/volumes/kubernetes.io~empty-dir/data") && path.is_dir());
    rig.assert_proper();
}

/// A claim `data` of the volume `pv-1`, which is what the node has at `path`.
async fn claim_local(api: &ApiRig, path: &Path, mode: &str) {
    let volume: PersistentVolume = serde_json::from_value(json!({
        "metadata": {"name": "pv-1"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "volumeMode": mode,
            "storageClassName": "", "persistentVolumeReclaimPolicy": "Retain", "local": {"path": path},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node"]}]}]}},
        },
    }))
    .unwrap();
    api.server.client.create(None, &volume).await.unwrap();
    let claim = json!({
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": "pv-1",
            "volumeMode": mode, "resources": {"requests": {"storage": "1Gi"}},
        },
    });
    api.server.make::<PersistentVolumeClaim>(claim).await;
    bind(api).await;
}

#[tokio::test]
async fn a_local_volume_by_a_claim() {
    let mut api = ApiRig::start().await;
    let source = api.rig.file("source");
    claim_local(&api, &source, "Filesystem").await;
    let client = &api.server.client;
    let larger = json!({"spec": {"capacity": {"storage": "2Gi"}}});
    client.patch::<PersistentVolume>(None, "pv-1", None, &larger).await.unwrap();
    api.server.create(&by_claim("web")).await;
    let missing = |why: &Value| why.to_string().contains("where the local volume is to be");
    api.rig.until_why("web", "says that there is nothing", missing).await;
    directory(&api.rig, "source");
    api.rig.kill();
    api.rig.launch();
    api.server.until_ready("web").await;
    let path = mounted(&api.rig, "web");
    assert!(path.ends_with("volumes/kubernetes.io~local-volume/pv-1"), "{}", path.display());
    assert_eq!(fs::read_to_string(path.join(CANARY)).unwrap(), "source");
    let claim: PersistentVolumeClaim = client.get(Some("default"), "data").await.unwrap();
    let size = &claim.status.unwrap().capacity.unwrap()["storage"].0;
    assert_eq!(size, "2Gi", "there is nothing to do for a directory, and the claim is told");
    api.rig.kill();
    api.server.delete("web", Some(0)).await;
    api.rig.launch();
    api.server.until_gone("web").await;
    let mounts = || async { json!(mounts_below(&api.rig.root().join("pods"))) };
    api.rig.until("nothing is mounted", DEADLINE, mounts, |count| *count == json!(0)).await;
    assert_eq!(fs::read_to_string(source.join(CANARY)).unwrap(), "source");
    api.rig.assert_proper();
}

#[tokio::test]
async fn a_disk_of_the_network_is_in_use_before_it_is_attached_and_until_nothing_is_left() {
    let mut api = ApiRig::prepare("").await;
    search_first(&mut api.rig);
    program(&api.rig, "iscsiadm", "echo no initiator >&2; exit 7");
    api.rig.launch();
    api.server.until_node("registered", |node| !node.is_null()).await;
    let unique = "kubernetes.io/iscsi/10.0.0.1:iqn.2001-04.com.example:disk:3";
    let source = json!({"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.example:disk", "lun": 3});
    api.server.fail(Method::PATCH, "nodes/node/status", 500, usize::MAX);
    api.server.create(&with("web", json!({"iscsi": source}))).await;
    let waits = |why: &Value| why.to_string().contains("the API server to know that PersistentVolume");
    api.rig.until_why("web", "waits until it may use the volume", waits).await;
    assert!(!api.rig.file("called").exists(), "nothing is done before");
    api.server.heal();
    let in_use = |node: &Value| {
        node["status"]["volumesInUse"].as_array().is_some_and(|all| all.contains(&json!(unique)))
    };
    api.server.until_node("the volume is in use", in_use).await;
    if api.server.is_real() {
        let attached = json!({"status": {"volumesAttached": [{"name": unique, "devicePath": ""}]}});
        api.server.client.patch_node_status("node", &attached).await.unwrap();
    }
    let fails = |why: &Value| why.to_string().contains("failed with exit status 7: no initiator");
    api.rig.until_why("web", "says what iscsiadm says", fails).await;
    let device = api.rig.root().join("plugins/kubernetes.io/iscsi/iface-default");
    assert_eq!(fs::read_dir(&device).unwrap().count(), 1);

    // What was begun is undone, with commands that find nothing to undo.
    program(&api.rig, "iscsiadm", "exit 21");
    api.server.delete("web", Some(0)).await;
    api.server.until_node("the volume is not in use", |node| !in_use(node)).await;
    assert_eq!(fs::read_dir(&device).unwrap().count(), 0);
    api.server.until_gone("web").await;
}

#[tokio::test]
async fn a_local_disk_as_a_device_through_kills() {
    let mut api = ApiRig::start().await;
    let (file, source) = (api.rig.file("disk.img"), api.rig.file("source"));
    let mut content = vec![0; 1 << 20];
    content[..6].copy_from_slice(b"canary");
    fs::write(&file, &content).unwrap();
    let Some(disk) = Disk::on(&file) else {
        println!("skipped: this kernel has no loop device");
        return;
    };
    fs::write(&source, "no disk").unwrap();
    claim_local(&api, &source, "Block").await;
    let device = json!({"volumeDevices": [{"name": "data", "devicePath": "/dev/xvda"}]});
    let volumes = json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]});
    let db = pod("db").container("app", &["run"]).with_container("app", &device).with_spec(&volumes);
    api.server.create(&db).await;
    let refused = |why: &Value| why.to_string().contains("is a regular file: a local volume is");
    api.rig.until_why("db", "says that it is no disk", refused).await;
    api.rig.kill();
    fs::remove_file(&source).unwrap();
    std::os::unix::fs::symlink(&disk.0, &source).unwrap();
    api.rig.launch();
    api.server.until_ready("db").await;
    let link = api.rig.runtime.read(|store| {
        let devices = &store.container("db", "app").unwrap().config.devices;
        assert_eq!((devices.len(), devices[0].container_path.as_str()), (1, "/dev/xvda"));
        PathBuf::from(&devices[0].host_path)
    });
    assert!(link.ends_with("volumeDevices/kubernetes.io~local-volume/pv-1"), "{}", link.display());
    assert_eq!(fs::read_link(&link).unwrap(), source);
    api.rig.kill();
    api.server.delete("db", Some(0)).await;
    api.rig.launch();
    api.server.until_gone("db").await;
    let there = || async { json!(fs::symlink_metadata(&link).is_ok()) };
    api.rig.until("the link is gone", DEADLINE, there, |there| *there == json!(false)).await;
    assert_eq!(fs::read_link(&source).unwrap(), disk.0);
    drop(disk);
    assert!(fs::read(&file).unwrap() == content, "the disk is as it was");
    api.rig.assert_proper();
}
