//! Drivers that refuse, hang, crash and go, and a berth that is killed.

use super::*;

fn fail(code: Code) -> Fault {
    Fault::Fail(code, "no".into())
}

/// Waits until the driver was asked `call`.
async fn asked(world: &World, call: &str) {
    world.fake.wait(LONG, |calls| calls.iter().any(|seen| seen.name == call)).await.unwrap();
}

/// Waits for `call`, which fails by `fault`; if it hangs, its deadline is passed.
async fn failing(world: &World, call: &str, fault: &Fault) -> VolumeError {
    let volumes = world.volumes.clone();
    let preparing = tokio::spawn(async move { volumes.prepare(&wanted("a", "v")).await });
    if *fault == Fault::Hang {
        asked(world, call).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(121)).await;
        tokio::time::resume();
    }
    preparing.await.unwrap().unwrap_err()
}

#[tokio::test]
async fn a_refusal_leaves_nothing_that_would_need_the_driver() {
    for call in ["NodeStageVolume", "NodePublishVolume"] {
        let world = World::start().await;
        let up = world.fake.raise(Strike::new(call, Moment::Before, fail(Code::InvalidArgument)));
        let error = world.volumes.prepare(&wanted("a", "v")).await.unwrap_err();
        assert!(!error.is_transient(), "{error}");
        drop(up);
        if call == "NodeStageVolume" {
            world.deregister().await;
        }
        world.take_down("a").await.unwrap();
        assert!(!world.fake.changes().contains(&"NodeUnpublishVolume"));
        assert_eq!((world.left(), world.fake.damage()), (vec![], vec![]), "{call}");
    }
}

#[tokio::test]
async fn after_an_uncertain_end_the_driver_has_to_take_it_down() {
    for call in ["NodeStageVolume", "NodePublishVolume"] {
        for moment in [Moment::Before, Moment::After] {
            for fault in [Fault::Hang, Fault::Crash, fail(Code::Aborted), fail(Code::DeadlineExceeded)] {
                let world = World::start().await;
                let up = world.fake.raise(Strike::new(call, moment, fault.clone()));
                let error = failing(&world, call, &fault).await;
                assert!(error.is_transient(), "{error}");
                drop(up);
                world.fake.restart().unwrap();
                // A refusal now says nothing of what was asked before.
                let up = world.fake.raise(Strike::new(call, Moment::Before, fail(Code::Internal)));
                world.volumes.prepare(&wanted("a", "v")).await.unwrap_err();
                drop(up);
                world.take_down("a").await.unwrap();
                let changes = world.fake.changes();
                assert!(changes.contains(&"NodeUnstageVolume"), "{call} {moment:?} {fault:?}: {changes:?}");
                assert_eq!((world.left(), world.fake.damage()), (vec![], vec![]));
            }
        }
    }
}

#[tokio::test]
async fn without_its_driver_a_volume_waits_both_ways() {
    let world = World::start().await;
    world.deregister().await;
    let error = world.volumes.prepare(&wanted("a", "v")).await.unwrap_err();
    assert_eq!(error.to_string(), "driver name d.example not found in the list of registered CSI drivers");
    assert!(error.is_transient());
    world.take_down("a").await.unwrap();
    assert_eq!(world.left(), Vec::<String>::new());

    world.register().await;
    world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    world.deregister().await;
    world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    let error = world.take_down("a").await.unwrap_err();
    assert!(error.to_string().contains("volume \"pv-v\": driver name d.example not found"), "{error}");
    assert!(!world.left().is_empty());
    world.register().await;
    world.take_down("a").await.unwrap();
    assert_eq!((world.left(), world.fake.damage()), (vec![], vec![]));
}

#[tokio::test]
async fn one_volume_that_hangs_holds_up_no_other() {
    let world = World::start().await;
    let up = world.fake.raise(Strike::new("NodeStageVolume", Moment::Before, Fault::Hang).volume("stuck"));
    let hanging = tokio::spawn({
        let volumes = world.volumes.clone();
        async move { volumes.prepare(&wanted("a", "stuck")).await }
    });
    asked(&world, "NodeStageVolume").await;
    world.volumes.prepare(&wanted("a", "fine")).await.unwrap();
    assert!(!hanging.is_finished());
    drop(up);
    hanging.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_comes_while_another_one_leaves() {
    let world = World::start().await;
    world.volumes.prepare(&wanted("a", "v")).await.unwrap();
    let up = world.fake.raise(Strike::new("NodeUnpublishVolume", Moment::Before, Fault::Hang));
    let leaving = tokio::spawn({
        let volumes = world.volumes.clone();
        async move { volumes.take_down(&PodUid::from("a"), &()).await }
    });
    asked(&world, "NodeUnpublishVolume").await;
    let volumes = world.volumes.clone();
    let other = wanted("b", "v");
    let mut coming = std::pin::pin!(volumes.prepare(&other));
    assert!(futures::poll!(&mut coming).is_pending(), "it is not its turn");
    drop(up);
    coming.await.unwrap();
    leaving.await.unwrap().unwrap();
    assert_eq!(world.fake.staged().len(), 1);
    assert_eq!(world.fake.published().len(), 1);
    assert!(!world.fake.changes().contains(&"NodeUnstageVolume"), "somebody waited for it");
    assert_eq!(world.fake.damage(), Vec::<String>::new());
}

/// A pod is removed while its driver works, or its volume takes longer than its worker waits. The driver goes on; nothing else
/// is asked of it until it has answered.
#[tokio::test]
async fn what_nobody_waits_for_any_more_is_waited_for_by_who_comes_next() {
    for call in ["NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"] {
        let world = World::start().await;
        let up = world.fake.raise(Strike::new(call, Moment::Before, Fault::Hang));
        let life = async {
            world.volumes.prepare(&wanted("a", "v")).await.unwrap();
            world.take_down("a").await.unwrap();
        };
        tokio::select! {
            () = life => panic!("{call} was never made"),
            () = asked(&world, call) => {}
        }
        let id = wanted("a", "v").volume;
        let mut next = Box::pin(world.volumes.owners.turn(&id));
        assert!(futures::poll!(&mut next).is_pending(), "{call} is under way");
        drop(next);
        drop(up);
        world.take_down("a").await.unwrap();
        let failed = world.volumes.reclaim(&BTreeSet::new()).await.unwrap();
        assert!(failed.is_empty(), "{failed:?}");
        assert_eq!((world.left(), world.fake.damage()), (vec![], vec![]), "{call}");
        assert!(world.fake.staged().is_empty() && world.fake.published().is_empty());
    }
}

/// Dropping everything in the middle of a call, with the driver going on or not, is what `kill -9` does.
#[tokio::test]
async fn killed_in_the_middle_of_any_call() {
    let calls = ["NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume"];
    for call in calls {
        for moment in [Moment::Before, Moment::After] {
            let mut world = World::start().await;
            let up = world.fake.raise(Strike::new(call, moment, Fault::Hang));
            let life = async {
                world.volumes.prepare(&wanted("a", "v")).await.unwrap();
                world.take_down("a").await.unwrap();
            };
            tokio::select! {
                () = life => panic!("{call} was never made"),
                () = asked(&world, call) => {}
            }
            world.restart();
            drop(up);
            if matches!(call, "NodeStageVolume" | "NodePublishVolume") {
                world.volumes.prepare(&wanted("a", "v")).await.unwrap();
            }
            world.take_down("a").await.unwrap();
            let failed = world.volumes.reclaim(&BTreeSet::new()).await.unwrap();
            assert!(failed.is_empty(), "{failed:?}");
            assert_eq!((world.left(), world.fake.damage()), (vec![], vec![]), "{call} {moment:?}");
            assert!(world.fake.staged().is_empty() && world.fake.published().is_empty());
        }
    }
}

/// berth was killed after it had written the note, or the driver while it unstaged.
#[tokio::test]
async fn a_staging_directory_without_its_path_is_made_whole() {
    let world = World::start().await;
    let wanted = wanted("a", "v");
    disk::prepare_staging(&world.volumes.config.layout, &wanted.site(), &wanted.staged_note("n")).unwrap();
    std::fs::remove_dir(world.volumes.config.layout.staging_path(&wanted.volume)).unwrap();
    world.volumes.prepare(&wanted).await.unwrap();
    world.take_down("a").await.unwrap();
    assert_eq!((world.left(), world.fake.damage()), (vec![], vec![]));
}
