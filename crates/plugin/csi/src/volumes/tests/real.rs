//! With a driver that really mounts. As root, and below a temporary directory.

use linux::mountinfo::MountTable;
use testkit::csi::CANARY;

use super::*;

async fn world() -> World {
    World::with(DriverOptions::new(DRIVER, Mounting::Real)).await
}

fn mounts_below(world: &World) -> Vec<PathBuf> {
    let real = std::fs::canonicalize(world.dir.path()).unwrap();
    MountTable::read().unwrap().below(&real).into_iter().map(|mount| mount.point.clone()).collect()
}

#[tokio::test]
async fn real_a_restart_of_berth_asks_the_driver_nothing() {
    let mut world = world().await;
    let path = world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    assert_eq!(std::fs::read_to_string(path.join(CANARY)).unwrap(), "v");
    world.restart();
    world.deregister().await;
    world.fake.forget_calls();
    assert_eq!(world.volumes.prepare(&wanted("a", "v")).await.unwrap(), path);
    assert_eq!(world.fake.calls(), []);
    let (a, b) = (PodUid::from("a"), PodUid::from("b"));
    assert_eq!(world.volumes.shown(&a, "the-v").await, Some((path, VolumeMode::Filesystem)));
    assert_eq!(world.volumes.shown(&a, "another").await, None);
    assert_eq!(world.volumes.shown(&b, "the-v").await, None);
    world.register().await;
    world.volumes.prepare(&wanted("b", "v")).await.unwrap();
    world.take_down("a").await.unwrap();
    world.take_down("b").await.unwrap();
    assert_eq!((world.left(), world.fake.damage(), mounts_below(&world)), (vec![], vec![], vec![]));
}

#[tokio::test]
async fn real_what_was_unmounted_behind_our_back_is_published_again() {
    let world = world().await;
    let path = world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    linux::mount::unmount(&path).unwrap();
    assert_eq!(world.volumes.shown(&PodUid::from("a"), "the-v").await, None);
    world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    assert!(path.join(CANARY).exists());
    world.take_down("a").await.unwrap();
    assert_eq!((world.left(), world.fake.damage(), mounts_below(&world)), (vec![], vec![], vec![]));
}

#[tokio::test]
async fn real_what_the_driver_leaves_mounted_is_never_removed() {
    let mut world = world().await;
    let path = world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    // Mounted once more, so that unpublishing takes away only one of the two.
    linux::mount::bind(&path, &path).unwrap();
    let error = world.take_down("a").await.unwrap_err();
    assert!(path.join(CANARY).exists(), "{error}");
    world.restart();
    // Its note is lost too: now nothing says whose it is.
    std::fs::remove_file(path.parent().unwrap().join("vol_data.json")).unwrap();
    let error = world.take_down("a").await.unwrap_err();
    assert!(error.to_string().contains("is mounted"), "{error}");
    assert!(path.join(CANARY).exists());
    assert_eq!(
        world.volumes.reclaim(&BTreeSet::new()).await.unwrap().len(),
        0,
        "staged stays while it may be in use"
    );
    assert_eq!(world.fake.staged().len(), 1);
    for point in mounts_below(&world) {
        linux::mount::unmount(&point).unwrap();
    }
    assert_eq!(std::fs::read_to_string(world.dir.path().join("volumes/v").join(CANARY)).unwrap(), "v");
}

/// berth is killed in the middle of a call, or the driver is, round after round, with two pods that come and go.
#[tokio::test]
async fn real_a_hundred_kills() {
    let calls = ["NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"];
    let mut world = world().await;
    for round in 0..100_usize {
        let call = calls[round % calls.len()];
        let moment = if round / 4 % 2 == 0 { Moment::Before } else { Moment::After };
        let fault = if round / 8 % 2 == 0 { Fault::Hang } else { Fault::Crash };
        let up = world.fake.raise(Strike::new(call, moment, fault).times(1));
        let life = async {
            world.volumes.prepare(&wanted("a", "v")).await?;
            world.volumes.prepare(&wanted("b", "v")).await?;
            let _ = world.take_down("a").await;
            let _ = world.take_down("b").await;
            Ok::<_, VolumeError>(())
        };
        tokio::select! {
            _ = life => {}
            seen = world.fake.wait(LONG, |calls| calls.iter().any(|seen| seen.name == call)) => seen.unwrap(),
        }
        world.restart();
        drop(up);
        world.fake.restart().unwrap();
        if round % 3 == 0 {
            let path = world.volumes.prepare(&wanted("b", "v")).await.unwrap();
            assert_eq!(std::fs::read_to_string(path.join(CANARY)).unwrap(), "v", "round {round}");
        }
        world.take_down("a").await.unwrap();
        world.take_down("b").await.unwrap();
        let failed = world.volumes.reclaim(&BTreeSet::new()).await.unwrap();
        assert!(failed.is_empty(), "round {round}: {failed:?}");
        let left = (world.left(), world.fake.damage(), mounts_below(&world));
        assert_eq!(left, (vec![], vec![], vec![]), "round {round}: {call} {moment:?}");
        world.fake.forget_calls();
    }
}
