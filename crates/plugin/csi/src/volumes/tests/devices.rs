//! Volumes that pods get as devices.

use std::os::unix::fs::FileTypeExt;
use std::process::Command;

use linux::mountinfo::MountTable;

use super::*;

fn device(pod: &str, volume: &str) -> Wanted {
    Wanted { volume_mode: VolumeMode::Block, fs_type: String::new(), group: None, ..wanted(pod, volume) }
}

fn devices(world: &World) -> PathBuf {
    world.root().join("plugins/kubernetes.io/csi/volumeDevices")
}

/// The names of volumes of which there is something.
fn known(world: &World) -> Vec<String> {
    let names = std::fs::read_dir(devices(world)).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name != "staging" && name != "publish").collect();
    names.sort();
    names
}

#[tokio::test]
async fn from_the_first_pod_to_the_last() {
    let mut world = World::start().await;
    let path = world.volumes.prepare(&device("a", "v")).await.unwrap();
    assert_eq!(path, devices(&world).join("publish/pv-v/a"));
    let sent = world.fake.last_publish().unwrap();
    assert_eq!(sent.staging_target_path, devices(&world).join("staging/pv-v").display().to_string());
    let access = format!("{:?}", sent.volume_capability.unwrap().access_type.unwrap());
    assert!(access.starts_with("Block"), "{access}");
    world.volumes.prepare(&device("b", "v")).await.unwrap();
    // A restart knows nothing but what is on disk, and a pretended device is no device.
    world.restart();
    world.take_down("a").await.unwrap();
    assert_eq!(known(&world), ["pv-v"]);
    world.take_down("b").await.unwrap();
    let changes = world.fake.changes();
    let mut expected = vec!["NodeStageVolume", "NodePublishVolume", "NodePublishVolume"];
    expected.extend(["NodeUnpublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"]);
    assert_eq!(changes, expected);
    assert_eq!((known(&world), world.left(), world.fake.damage()), (vec![], vec![], vec![]));
}

#[tokio::test]
async fn a_crash_before_each_answer() {
    for call in ["NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"] {
        for moment in [Moment::Before, Moment::After] {
            let mut world = World::start().await;
            let hang = world.fake.raise(Strike::new(call, moment, Fault::Hang));
            let (volumes, fake) = (world.volumes.clone(), &world.fake);
            let seen = async {
                let asked = |calls: &[testkit::plugin::Call]| calls.iter().any(|seen| seen.name == call);
                fake.wait(LONG, asked).await.unwrap();
            };
            let life = async {
                volumes.prepare(&device("a", "v")).await.unwrap();
                volumes.take_down(&PodUid::from("a"), &()).await.unwrap();
            };
            tokio::select! { () = seen => {}, () = life => panic!("{call} did not hang") }
            drop(hang);
            world.restart();
            if call.contains("Stage") || call == "NodePublishVolume" {
                world.volumes.prepare(&device("a", "v")).await.unwrap();
            }
            world.take_down("a").await.unwrap();
            // Of a volume that no pod has any more, `reclaim` finds what is left.
            assert!(world.volumes.reclaim(&BTreeSet::new()).await.unwrap().is_empty());
            let left = (known(&world), world.left(), world.fake.damage());
            assert_eq!(left, (vec![], vec![], vec![]), "{call}, {moment:?}");
        }
    }
}

#[tokio::test]
async fn real_a_device_stays_through_a_restart_and_what_another_kubelet_held_is_let_go() {
    let nodes = tempfile::tempdir().unwrap();
    let node = nodes.path().join("disk");
    assert!(Command::new("mknod").arg(&node).args(["b", "7", "0"]).status().unwrap().success());
    let options = DriverOptions::new(DRIVER, Mounting::Real);
    let mut world = World::with(DriverOptions { device: Some(node.clone()), ..options }).await;
    let path = world.volumes.prepare(&device("a", "v")).await.unwrap();
    assert!(std::fs::metadata(&path).unwrap().file_type().is_block_device());
    world.restart();
    world.fake.forget_calls();
    assert_eq!(
        world.volumes.shown(&PodUid::from("a"), "the-v").await,
        Some((path.clone(), VolumeMode::Block))
    );
    assert_eq!(world.volumes.prepare(&device("a", "v")).await.unwrap(), path);
    assert_eq!(world.fake.calls(), []);

    let held = devices(&world).join("pv-v/dev");
    std::fs::create_dir(&held).unwrap();
    std::fs::write(held.join("a"), "").unwrap();
    linux::mount::bind(&node, &held.join("a")).unwrap();
    world.take_down("a").await.unwrap();
    let real = std::fs::canonicalize(world.dir.path()).unwrap();
    assert!(MountTable::read().unwrap().below(&real).is_empty());
    assert_eq!((known(&world), world.left(), world.fake.damage()), (vec![], vec![], vec![]));
    assert!(std::fs::metadata(&node).is_ok());
}
