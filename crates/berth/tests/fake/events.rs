//! The runtime's event stream: without it, and with one that says nothing, exits are still noticed.

use testkit::fake::{Fault, Match};
use testkit::pod::pod;

use crate::rig::Rig;

async fn exit_is_noticed(rig: &Rig, starts: u64) {
    rig.runtime.exit_container("web-node", "main", 0);
    rig.until_store("it is started again", |store| store.starts("web-node", "main") == starts).await;
}

async fn with_web() -> Rig {
    let rig = Rig::start().await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    rig.runtime.wait_for_subscriber(crate::rig::DEADLINE).await.unwrap();
    rig
}

#[tokio::test]
async fn an_exit_is_noticed_at_once() {
    let rig = with_web().await;
    let lists = |rig: &Rig| rig.runtime.calls("ListPodSandbox");
    let before = lists(&rig);
    exit_is_noticed(&rig, 2).await;
    rig.until_ready("web").await;
    assert!(lists(&rig) - before < 10, "it is looked at when something happens, not all the time");
    rig.assert_proper();
}

#[tokio::test]
async fn a_stream_that_dies_is_connected_again() {
    let rig = with_web().await;
    rig.runtime.events_die();
    exit_is_noticed(&rig, 2).await;
    rig.put(&pod("other"));
    rig.until_ready("other").await;
    rig.until_store("connected again", |store| store.calls("GetContainerEvents") >= 2).await;
    rig.assert_proper();
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_found_out() {
    let rig = with_web().await;
    rig.runtime.events_silent();
    // What berth does itself ought to be heard of.
    rig.put(&pod("other"));
    rig.until_ready("other").await;
    exit_is_noticed(&rig, 2).await;
    rig.until_store("connected again", |store| store.calls("GetContainerEvents") >= 2).await;
    rig.remove("other");
    rig.until_gone("other").await;
    rig.assert_proper();
}

#[tokio::test]
async fn a_runtime_without_events_is_asked_every_second() {
    let mut rig = Rig::prepare("").await;
    rig.runtime.events_unimplemented();
    rig.launch();
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    exit_is_noticed(&rig, 2).await;
    rig.remove("web");
    rig.until_gone("web").await;
    assert_eq!(rig.runtime.calls("GetContainerEvents"), 1);
    rig.assert_proper();
}

#[tokio::test]
async fn what_is_being_stopped_is_looked_at_when_that_is_done() {
    let mut rig = Rig::prepare("").await;
    rig.runtime.events_unimplemented();
    rig.launch();
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    let hang = rig.runtime.fault(Match::call("StopPodSandbox"), Fault::Hang);
    rig.remove("web");
    rig.until_store("its sandbox is being stopped", |store| store.calls("StopPodSandbox") == 1).await;
    let calls = |call: &str| rig.runtime.calls(call);
    let (looks, lists) = (calls("ContainerStatus"), calls("ListPodSandbox"));
    rig.until_store("listed again", |store| store.calls("ListPodSandbox") >= lists + 3).await;
    assert_eq!(calls("ContainerStatus"), looks, "that its container has ended is no news to who ended it");
    drop(hang);
    rig.until_gone("web").await;
    rig.assert_proper();
}
