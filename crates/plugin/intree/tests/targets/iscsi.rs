//! iSCSI, with the kernel's target.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use intree::Wanted;
use lab::targets::{Chap, Initiator, Target, sessions};
use serde_json::{Value, json};
use types::corev1::Secret;
use types::k8s::ByteString;

use crate::world::{CANARY, World, canary, claimed, options, turn};

const AT: &str = "127.0.0.1:3260";
const IQN: &str = "iqn.2026-01.dev.berth:disks";
const OTHER: &str = "iqn.2026-01.dev.berth:other";
const RIGHT: &str = "correct-horse";
const WRONG: &str = "battery-staple";

fn volume(iqn: &str, lun: i32) -> Value {
    json!({"targetPortal": AT, "iqn": iqn, "lun": lun})
}

fn on(pod: &str, name: &str, iscsi: &Value) -> Wanted {
    claimed(pod, name, json!({"iscsi": iscsi}), false, None)
}

fn as_device(pod: &str, name: &str, iscsi: &Value) -> Wanted {
    claimed(pod, name, json!({"iscsi": iscsi, "volumeMode": "Block"}), false, None)
}

fn with_chap(pod: &str, password: &str) -> Wanted {
    let mut iscsi = volume(IQN, 0);
    (iscsi["chapAuthSession"], iscsi["secretRef"]) = (json!(true), json!({"name": "chap"}));
    let data = [("node.session.auth.username", "me"), ("node.session.auth.password", password)];
    let data = data.map(|(key, value)| (key.to_owned(), ByteString(value.into())));
    let secret = Secret { data: Some(data.into()), ..Secret::default() };
    claimed(pod, "secured", json!({"iscsi": iscsi}), false, Some(&secret))
}

/// The start of the disk that `path` leads to.
fn start(path: &Path) -> String {
    let mut text = [0; 6];
    fs::File::open(path).unwrap().read_exact(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

fn with_both() -> Vec<String> {
    vec![IQN.to_owned(), OTHER.to_owned()]
}

#[tokio::test]
async fn real_iscsi_with_a_secret() {
    let Some(turn) = turn() else { return };
    let mut world = World::new();
    let chap = Some(Chap { user: "me", password: RIGHT });
    let _target = Target::start(&turn, &world.root, IQN, &[AT], &[24], chap).unwrap();
    let _initiator = Initiator::start(&turn, false).await.unwrap();

    let error = world.prepare(&with_chap("a", WRONG)).await.unwrap_err();
    let text = telemetry::chain(&error);
    assert!(text.contains("authorization") && !text.contains(WRONG), "{text}");
    assert_eq!(sessions().unwrap(), Vec::<String>::new());
    let path = world.prepare(&with_chap("a", RIGHT)).await.unwrap();
    fs::write(path.join(CANARY), "kept").unwrap();
    world.restart();
    let other = world.prepare(&with_chap("b", RIGHT)).await.unwrap();
    assert_eq!((canary(&other).as_str(), world.devices().len()), ("kept", 1));
    world.take_down("a").await.unwrap();
    assert_eq!(canary(&other), "kept");
    world.take_down("b").await.unwrap();
    world.assert_nothing_left();
    assert_eq!(sessions().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn real_iscsi_of_two_targets() {
    let Some(turn) = turn() else { return };
    let mut world = World::new();
    let target = Target::start(&turn, &world.root, IQN, &[AT, "127.0.0.1:3261"], &[24, 8], None).unwrap();
    let other_target = Target::start(&turn, &world.root, OTHER, &["127.0.0.1:3262"], &[24], None).unwrap();
    let initiator = Initiator::start(&turn, false).await.unwrap();
    let mut other_volume = volume(OTHER, 0);
    other_volume["targetPortal"] = json!("127.0.0.1:3262");

    // One is a file system, one a device; of the same target, over a kill.
    let mut read_only = on("b", "disk", &volume(IQN, 0));
    (read_only.read_only, read_only.mount_options) = (true, vec!["noatime".into()]);
    let path = world.prepare(&on("a", "disk", &volume(IQN, 0))).await.unwrap();
    fs::write(path.join(CANARY), "kept").unwrap();
    let seen = world.prepare(&read_only).await.unwrap();
    assert_eq!(fs::write(seen.join("x"), "").unwrap_err().kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    assert!(options(&seen).contains("noatime"));
    let raw = world.prepare(&as_device("c", "raw", &volume(IQN, 1))).await.unwrap();
    fs::OpenOptions::new().write(true).open(&raw).unwrap().write_all(b"canary").unwrap();
    world.restart();
    assert!(world.volumes.shown(&"c".into(), "data").await.is_some());
    assert!(world.volumes.reclaim().await.unwrap().is_empty());
    world.take_down("a").await.unwrap();
    assert_eq!((canary(&seen), start(&raw)), ("kept".into(), "canary".into()));
    world.take_down("b").await.unwrap();
    assert_eq!((world.devices(), sessions().unwrap()), (vec![], vec![IQN.to_owned()]));
    assert_eq!(start(&raw), "canary");

    // What somebody uses of the disk, unseen, keeps it: here as part of another device, for a container that is mounting it.
    let claimed_by = rustix::fs::open(
        &raw,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::EXCL,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    let error = world.take_down("c").await.unwrap_err();
    assert!(error.to_string().contains("is in use and is not detached"), "{error}");
    assert_eq!(sessions().unwrap(), [IQN]);
    drop(claimed_by);
    world.take_down("c").await.unwrap();
    world.assert_nothing_left();
    assert_eq!(sessions().unwrap(), Vec::<String>::new());

    // A session of the administrator's stays, with all its disks; it is not formatted again, nor is what is a device.
    initiator.log_in(AT, IQN).unwrap();
    let path = world.prepare(&on("a", "disk", &volume(IQN, 0))).await.unwrap();
    let raw = world.prepare(&as_device("c", "raw", &volume(IQN, 1))).await.unwrap();
    assert_eq!((canary(&path), start(&raw)), ("kept".into(), "canary".into()));
    world.take_down("a").await.unwrap();
    world.take_down("c").await.unwrap();
    world.assert_nothing_left();
    assert_eq!(sessions().unwrap(), [IQN]);
    initiator.log_out(AT, IQN).unwrap();

    // A whole target is away, with a pod on it, and the other one's goes on.
    let path = world.prepare(&on("a", "disk", &volume(IQN, 0))).await.unwrap();
    let other = world.prepare(&on("d", "other", &other_volume)).await.unwrap();
    assert_eq!(sessions().unwrap(), with_both());
    fs::write(other.join(CANARY), "other").unwrap();
    fs::write(path.join("unwritten"), "lost with its target").unwrap();
    target.fall_silent().unwrap();
    world.restart();
    let (gone, stays) =
        futures::future::join(world.take_down("a"), world.prepare(&on("e", "other", &other_volume))).await;
    assert_eq!(canary(&stays.unwrap()), "other");
    gone.unwrap();
    assert_eq!(sessions().unwrap(), [OTHER]);
    target.answer().unwrap();
    let path = world.prepare(&on("a", "disk", &volume(IQN, 0))).await.unwrap();
    assert_eq!(canary(&path), "kept");
    for pod in ["a", "d", "e"] {
        world.take_down(pod).await.unwrap();
    }
    world.assert_nothing_left();
    assert_eq!(sessions().unwrap(), Vec::<String>::new());
    drop((target, other_target));
}

#[tokio::test]
async fn real_iscsi_by_several_paths() {
    let Some(turn) = turn() else { return };
    let mut world = World::new();
    let portals = [AT, "127.0.0.1:3261"];
    let _target = Target::start(&turn, &world.root, IQN, &portals, &[24], None).unwrap();
    let _initiator = Initiator::start(&turn, true).await.unwrap();
    let mut two = volume(IQN, 0);
    two["portals"] = json!(["127.0.0.1:3261"]);
    let path = world.prepare(&on("a", "disk", &two)).await.unwrap();
    fs::write(path.join(CANARY), "kept").unwrap();
    assert_eq!(sessions().unwrap().len(), 2);
    let table = linux::mountinfo::MountTable::read().unwrap();
    let (major, minor) = table.at(&path).unwrap().device;
    let joins = fs::read_dir(format!("/sys/dev/block/{major}:{minor}/slaves")).unwrap().count();
    assert_eq!(joins, 2);
    world.restart();
    let raw = world.prepare(&as_device("b", "disk", &two)).await.unwrap();
    assert_eq!(fs::canonicalize(&raw).unwrap().file_name().unwrap().to_str().unwrap(), format!("dm-{minor}"));
    world.take_down("a").await.unwrap();
    assert_eq!(sessions().unwrap().len(), 2);
    world.take_down("b").await.unwrap();
    world.assert_nothing_left();
    assert_eq!(sessions().unwrap(), Vec::<String>::new());
}
