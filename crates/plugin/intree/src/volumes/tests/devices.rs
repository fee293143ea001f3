//! Disks that pods get as devices. As root, with loop devices.

use std::io::{Read as _, Write as _};

use super::*;
use crate::fc::{self, Naming};

/// Writes a canary to the start of the disk.
pub(super) fn write_canary(disk: &Loop) {
    fs::OpenOptions::new().write(true).open(&disk.0).unwrap().write_all(b"canary").unwrap();
}

/// What is at the start of the disk that `path` leads to.
pub(super) fn start(path: &Path) -> String {
    let mut text = [0; 6];
    fs::File::open(path).unwrap().read_exact(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// A disk with a canary; none where there are no loop devices.
fn disk(world: &World) -> Option<Loop> {
    let disk = Loop::new(world);
    match &disk {
        Some(disk) => write_canary(disk),
        None => println!("skipped: no loop devices"),
    }
    disk
}

/// Whether any loop device is on `path`.
fn is_looped(path: &Path) -> bool {
    let listed = Process::new("losetup").args(["--noheadings", "--output", "BACK-FILE", "--list"]).output();
    String::from_utf8(listed.unwrap().stdout).unwrap().lines().any(|line| Path::new(line.trim()) == path)
}

#[tokio::test]
async fn real_a_local_disk_for_two_pods() {
    let mut world = World::new();
    let Some(disk) = disk(&world) else { return };
    let directory = world.directory("source");
    let error = world.volumes.prepare(&world.device("a", &directory)).await.unwrap_err();
    assert!(error.to_string().contains("has to be a block device"), "{error}");
    assert!(!world.root.join("root").exists());

    let path = world.volumes.prepare(&world.device("a", &disk.0)).await.unwrap();
    assert_eq!(path, world.root.join("root/pods/a/volumeDevices/kubernetes.io~local-volume/raw"));
    assert_eq!(fs::read_link(&path).unwrap(), disk.0);
    let global = world.root.join("root/plugins/kubernetes.io~local-volume/volumeDevices/raw");
    assert!(global.is_dir());
    let other = world.volumes.prepare(&world.device("b", &disk.0)).await.unwrap();
    world.restart();
    let shown = world.volumes.shown(&"a".into(), "the-raw").await.unwrap();
    assert_eq!((&shown.path, shown.target.mode), (&path, VolumeMode::Block));
    assert!(world.volumes.reclaim().await.unwrap().is_empty());

    // The machine was booted: what is called so may be another disk.
    let mark = world.root.join("root/pods/a/plugins/kubernetes.io~local-volume~volumeDevices/raw/ready");
    let boot = linux::proc::boot_id().unwrap();
    fs::write(&mark, fs::read_to_string(&mark).unwrap().replace(&boot, "before")).unwrap();
    assert_eq!(world.volumes.shown(&"a".into(), "the-raw").await, None);
    world.volumes.prepare(&world.device("a", &disk.0)).await.unwrap();
    assert!(world.volumes.shown(&"a".into(), "the-raw").await.is_some());
    // The link leads elsewhere.
    let precious = world.directory("precious").join(CANARY);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&precious, &path).unwrap();
    assert_eq!(world.volumes.shown(&"a".into(), "the-raw").await, None);
    world.volumes.prepare(&world.device("a", &disk.0)).await.unwrap();
    assert_eq!(fs::read_link(&path).unwrap(), disk.0);

    world.take_down("a").await.unwrap();
    assert!(global.is_dir() && fs::symlink_metadata(&path).is_err());
    assert_eq!(start(&other), "canary");
    assert!(world.volumes.shown(&"b".into(), "the-raw").await.is_some());
    world.take_down("b").await.unwrap();
    assert_eq!((world.left(), start(&disk.0).as_str()), (vec![], "canary"));
    assert!(precious.exists());
}

#[tokio::test]
async fn real_what_another_kubelet_holds_is_let_go_of() {
    let world = World::new();
    let Some(disk) = disk(&world) else { return };
    let global = world.root.join("root/plugins/kubernetes.io~local-volume/volumeDevices/raw");
    let link = |pod: &str| {
        world.root.join("root/pods").join(pod).join("volumeDevices/kubernetes.io~local-volume/raw")
    };
    fs::create_dir_all(&global).unwrap();
    for pod in ["a", "b", "gone"] {
        fs::write(global.join(pod), "").unwrap();
        linux::mount::bind(&disk.0, &global.join(pod)).unwrap();
        if pod != "gone" {
            fs::create_dir_all(link(pod).parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(&disk.0, link(pod)).unwrap();
        }
    }
    assert!(Process::new("losetup").arg("--find").arg(global.join("a")).status().unwrap().success());
    assert!(is_looped(&global.join("a")));
    assert!(world.volumes.reclaim().await.unwrap().is_empty());
    assert_eq!(mounts_below(&global).len(), 3, "pods have it");
    // One is taken over before it goes.
    assert_eq!(world.volumes.shown(&"a".into(), "the-raw").await, None);
    world.volumes.prepare(&world.device("a", &disk.0)).await.unwrap();
    world.take_down("a").await.unwrap();
    assert!(!is_looped(&global.join("a")) && fs::symlink_metadata(link("a")).is_err());
    assert_eq!(mounts_below(&global).len(), 2);
    assert_eq!(start(&link("b")), "canary");
    world.take_down("b").await.unwrap();
    assert_eq!((world.left(), start(&disk.0).as_str()), (vec![], "canary"));

    // A crash of the other one left what no pod has.
    fs::create_dir_all(&global).unwrap();
    fs::write(global.join("gone"), "").unwrap();
    linux::mount::bind(&disk.0, &global.join("gone")).unwrap();
    let failed = world.volumes.reclaim().await.unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!((world.left(), start(&disk.0).as_str()), (vec![], "canary"));
}

#[tokio::test]
async fn real_an_iscsi_disk_is_attached_and_not_formatted() {
    let mut world = World::new();
    let Some(disk) = disk(&world) else { return };
    disks::programs(&world);
    disks::iscsiadm(&world, &format!("ln -sf {} W/dev/sdx", disk.0.display()));
    let raw = |world: &World, pod: &str| {
        let mut wanted = disks::on_target(world, pod);
        (wanted.target.mode, wanted.target.spec_name) = (VolumeMode::Block, "raw".into());
        wanted
    };
    let path = world.volumes.prepare(&raw(&world, "a")).await.unwrap();
    let called = world.called();
    assert!(called.iter().all(|line| line.starts_with("iscsiadm ")), "{called:?}");
    assert!(fs::read_link(&path).unwrap().starts_with(world.root.join("dev/disk/by-path")));
    assert_eq!(start(&path), "canary");
    let global = world.root.join("root/plugins/kubernetes.io/iscsi/volumeDevices/iface-default");
    let found: Vec<_> = fs::read_dir(&global).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(found.len() == 1 && found[0].join("iscsi.json").exists(), "{found:?}");
    world.restart();
    assert!(world.volumes.shown(&"a".into(), "the-pv").await.is_some());
    world.volumes.prepare(&raw(&world, "b")).await.unwrap();
    assert!(!world.called().iter().any(|line| line.contains("--login")));

    // A pod that has the same disk mounted keeps it, and the other way round.
    let delete = world.root.join("sys/block/sdx/device/delete");
    world.volumes.prepare(&disks::on_target(&world, "c")).await.unwrap();
    world.called();
    world.take_down("c").await.unwrap();
    assert_eq!((world.called(), fs::read_to_string(&delete).unwrap().as_str()), (vec![], ""));
    world.take_down("a").await.unwrap();
    assert_eq!((world.called(), fs::read_to_string(&delete).unwrap().as_str()), (vec![], ""));
    world.take_down("b").await.unwrap();
    assert_eq!(fs::read_to_string(&delete).unwrap(), "1");
    assert!(world.called().iter().any(|line| line.contains("--logout")));
    assert_eq!((world.left(), start(&disk.0).as_str()), (vec![], "canary"));
}

#[tokio::test]
async fn real_an_fc_disk_by_a_link_that_stays() {
    let world = World::new();
    let Some(disk) = disk(&world) else { return };
    disks::on_fc(&world, "sdq");
    let delete = disks::make(&world, "sys/block/sdq/device/delete", "");
    disks::link(&world, "dev/sdq", disk.0.to_str().unwrap());
    disks::link(&world, "dev/disk/by-id/scsi-3600", "../../sdq");
    let naming = Naming::Own(vec!["3600".into()]);
    let mut wanted =
        world.wanted("a", Plugin::Fc, "raw", Kind::Fc(fc::Disk { naming, fs_type: String::new() }));
    wanted.target.mode = VolumeMode::Block;
    let path = world.volumes.prepare(&wanted).await.unwrap();
    assert_eq!(world.called(), Vec::<String>::new());
    assert_eq!(fs::read_link(&path).unwrap(), world.root.join("dev/disk/by-id/scsi-3600"));
    assert_eq!(start(&path), "canary");
    assert!(world.root.join("root/plugins/kubernetes.io/fc/volumeDevices/3600").is_dir());
    // The kernel knows it by its own name, as a node in its directory.
    fs::remove_file(world.root.join("dev/sdq")).unwrap();
    disks::make(&world, "dev/sdq", "");
    world.program("blockdev", "");
    world.take_down("a").await.unwrap();
    assert_eq!(fs::read_to_string(delete).unwrap(), "1");
    assert_eq!((world.left(), start(&disk.0).as_str()), (vec![], "canary"));
}
