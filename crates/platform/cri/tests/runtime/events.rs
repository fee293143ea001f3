//! What the runtime tells unasked.

use cri::{ContainerEventKind, CriErrorKind};
use futures::StreamExt;

use crate::{LONG, World, pod};

#[tokio::test(start_paused = true)]
async fn events_tell_what_happened_and_what_there_is() {
    let world = World::start().await;
    let web = pod("web");
    let mut events = world.runtime.events().await.unwrap();
    world.fake.wait_for_subscriber(LONG).await.unwrap();
    let sandbox = world.sandbox(&web, 0).await;
    let id = world.container(&web, &sandbox, "app", 0).await;
    world.fake.exit_container("web", "app", 7);

    let mut seen = Vec::new();
    while seen.len() < 5 {
        let event = events.next().await.unwrap().unwrap();
        assert_eq!(event.pod, web);
        assert!(event.at.is_some());
        seen.push((event.container_id, event.kind, event.observed));
    }
    let kinds: Vec<_> = seen.iter().map(|(id, kind, _)| (id.as_str() == sandbox.as_str(), *kind)).collect();
    use ContainerEventKind::{Created, Started, Stopped};
    assert_eq!(
        kinds,
        [(true, Created), (true, Started), (false, Created), (false, Started), (false, Stopped)]
    );
    let (stopped, _, observed) = seen.pop().unwrap();
    assert_eq!(stopped, id);
    let observed = observed.unwrap();
    assert_eq!(observed.sandboxes[0].id, sandbox);
    assert_eq!(observed.newest("app").unwrap().state.exit().unwrap().code, 7);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_dies_says_so_and_ends() {
    let world = World::start().await;
    let mut events = world.runtime.events().await.unwrap();
    world.fake.wait_for_subscriber(LONG).await.unwrap();
    world.fake.run_pod(&pod("web"), &[]).unwrap();
    events.next().await.unwrap().unwrap();
    events.next().await.unwrap().unwrap();
    world.fake.events_die();
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!((error.call, error.kind), ("GetContainerEvents", CriErrorKind::Unavailable));
    assert!(events.next().await.is_none());
    assert!(world.runtime.events().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_restart_ends_a_stream_that_said_nothing_yet() {
    let mut world = World::start().await;
    let mut events = world.runtime.events().await.unwrap();
    world.fake.wait_for_subscriber(LONG).await.unwrap();
    world.fake.restart().await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap_err().kind, CriErrorKind::Unavailable);
    assert!(events.next().await.is_none());

    let mut events = world.runtime.events().await.unwrap();
    world.fake.wait_for_subscriber(LONG).await.unwrap();
    world.fake.run_pod(&pod("web"), &[]).unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().pod, pod("web"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_stays_open_and_loses_events() {
    let world = World::start().await;
    let mut events = world.runtime.events().await.unwrap();
    world.fake.wait_for_subscriber(LONG).await.unwrap();
    world.fake.events_silent();
    world.fake.run_pod(&pod("lost"), &[]).unwrap();
    assert!(tokio::time::timeout(LONG, events.next()).await.is_err());
    world.fake.events_resume();
    world.fake.run_pod(&pod("web"), &[]).unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().pod, pod("web"));
}

#[tokio::test(start_paused = true)]
async fn a_runtime_without_events_says_so() {
    let world = World::start().await;
    world.fake.events_unimplemented();
    let error = match world.runtime.events().await {
        Err(error) => error,
        Ok(mut events) => events.next().await.unwrap().unwrap_err(),
    };
    assert_eq!(error.kind, CriErrorKind::Unimplemented);
}
