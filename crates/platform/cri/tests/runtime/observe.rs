//! What the runtime has of pods.

use cri::{CriErrorKind, v1};
use testkit::fake::{self, Fault, Match};
use types::{ContainerState, ObservedPod, SandboxState};

use crate::{World, pod};

#[tokio::test(start_paused = true)]
async fn pods_are_listed_with_two_calls() {
    let world = World::start().await;
    for name in ["a", "b", "c"] {
        world.fake.run_pod(&pod(name), &["app", "helper"]).unwrap();
    }
    // Somebody else's: without a kubelet's labels.
    let foreign = v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata { name: "foreign".into(), ..Default::default() }),
        ..Default::default()
    };
    world.runtime.run_pod_sandbox(foreign, "").await.unwrap();
    world.fake.clear_journal();
    let pods = world.runtime.list_pods().await.unwrap();
    let names: Vec<_> = pods.iter().map(|pod| pod.pod.to_string()).collect();
    assert_eq!(names, ["shop/a", "shop/b", "shop/c"]);
    for observed in &pods {
        assert_eq!((observed.sandboxes.len(), observed.containers.len()), (1, 2));
        assert_eq!(observed.live().count(), 2);
        assert!(observed.containers.iter().all(|c| c.sandbox == observed.sandboxes[0].id));
    }
    let calls: Vec<_> = world.fake.read(|store| store.journal().iter().map(|call| call.call).collect());
    assert_eq!(calls.len(), 2, "{calls:?}");
}

#[tokio::test(start_paused = true)]
async fn one_pod_is_observed_in_full() {
    let world = World::start().await;
    let web = pod("web");
    world.fake.run_pod(&pod("other"), &["app"]).unwrap();
    let old = world.sandbox(&web, 0).await;
    for attempt in 0..3 {
        world.container(&web, &old, "app", attempt).await;
        world.fake.exit_container("web", "app", i32::try_from(attempt).unwrap());
    }
    world.runtime.stop_pod_sandbox(&old).await.unwrap();
    let new = world.sandbox(&web, 1).await;
    let running = world.container(&web, &new, "app", 3).await;
    world.fake.clear_journal();

    let observed = world.runtime.observe(&web, None).await.unwrap();
    assert_eq!(observed.pod, web);
    let sandboxes: Vec<_> = observed.sandboxes.iter().map(|s| (s.id.clone(), s.state, s.ips.len())).collect();
    assert_eq!(sandboxes, [(new.clone(), SandboxState::Ready, 1), (old.clone(), SandboxState::NotReady, 0)]);
    assert_eq!(observed.ips().len(), 1);
    let counts: Vec<_> = observed.containers.iter().map(|container| container.restart_count).collect();
    assert_eq!(counts, [3, 2, 1, 0]);
    let newest = observed.newest("app").unwrap();
    assert_eq!((&newest.id, &newest.sandbox), (&running, &new));
    assert!(matches!(newest.state, ContainerState::Running { .. }));
    assert_eq!(observed.containers[1].state.exit().unwrap().code, 2);
    assert_eq!(observed.containers[1].sandbox, old);
    // The two newest instances were asked for, and both sandboxes.
    assert_eq!(world.fake.calls("ContainerStatus"), 2);
    assert_eq!(world.fake.calls("PodSandboxStatus"), 2);
    assert!(world.fake.snapshot().violations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_end_by_lack_of_memory_may_be_told_late() {
    let world = World::start().await;
    let web = pod("web");
    world.fake.run_pod(&web, &["app"]).unwrap();
    world.fake.exit_container("web", "app", 137);
    let killed = world.runtime.observe(&web, None).await.unwrap();
    assert_eq!(killed.newest("app").unwrap().state.exit().unwrap().reason, "Error");
    world.fake.oom_kill_container("web", "app");
    let observed = world.runtime.observe(&web, Some(&killed)).await.unwrap();
    assert_eq!(observed.newest("app").unwrap().state.exit().unwrap().reason, "OOMKilled");
    assert_eq!(world.fake.calls("ContainerStatus"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_not_there_is_absent() {
    let world = World::start().await;
    assert_eq!(world.runtime.observe(&pod("web"), None).await.unwrap(), ObservedPod::absent(pod("web")));
}

#[tokio::test(start_paused = true)]
async fn what_goes_while_it_is_looked_at_was_not_there() {
    let world = World::start().await;
    let web = pod("web");
    world.fake.run_pod(&web, &["app", "helper"]).unwrap();
    let gone = Fault::Fail(tonic::Code::NotFound, "not found".into());
    let guard = world.fake.fault(Match::call("ContainerStatus").container("app"), gone);
    let observed = world.runtime.observe(&web, None).await.unwrap();
    assert!(observed.newest("app").is_none() && observed.newest("helper").is_some());
    drop(guard);

    let broken = Fault::Fail(tonic::Code::Unknown, "shim is gone".into());
    let _guard = world.fake.fault(Match::call("ContainerStatus").container("app"), broken);
    let error = world.runtime.observe(&web, None).await.unwrap_err();
    assert_eq!((error.call, error.kind), ("ContainerStatus", CriErrorKind::Other));
}

#[tokio::test(start_paused = true)]
async fn one_bad_pod_does_not_hide_the_others() {
    let world = World::start().await;
    for name in ["bad", "good"] {
        world.fake.run_pod(&pod(name), &["app"]).unwrap();
    }
    let _hung = world.fake.fault(Match::call("ListContainers").pod("bad"), Fault::Hang);
    let (bad, good) = (pod("bad"), pod("good"));
    let error = world.runtime.observe(&bad, None).await.unwrap_err();
    assert_eq!((error.call, error.kind), ("ListContainers", CriErrorKind::Timeout));
    assert_eq!(world.runtime.observe(&good, None).await.unwrap().containers.len(), 1);
    assert_eq!(world.runtime.list_pods().await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_node_is_listed() {
    let world = World::start().await;
    for number in 0..1000 {
        world.fake.run_pod(&pod(&format!("p{number}")), &["app"]).unwrap();
    }
    assert_eq!(world.runtime.list_pods().await.unwrap().len(), 1000);
    let observed = world.runtime.observe(&pod("p500"), None).await.unwrap();
    assert_eq!((observed.sandboxes.len(), observed.containers.len()), (1, 1));
    let config = fake::container_config(&pod("p500"), "app", 0);
    assert_eq!(observed.containers[0].annotations.len(), config.annotations.len());
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_not_asked_for_again() {
    let world = World::start().await;
    let web = pod("web");
    world.fake.run_pod(&web, &["app", "helper"]).unwrap();
    let known = world.runtime.observe(&web, None).await.unwrap();
    world.fake.clear_journal();
    assert_eq!(world.runtime.observe(&web, Some(&known)).await.unwrap(), known);
    assert_eq!((world.fake.calls("ContainerStatus"), world.fake.calls("PodSandboxStatus")), (0, 0));

    world.fake.exit_container("web", "app", 3);
    let ended = world.runtime.observe(&web, Some(&known)).await.unwrap();
    assert_eq!(ended, world.runtime.observe(&web, None).await.unwrap());
    assert_eq!(ended.newest("app").unwrap().state.exit().unwrap().code, 3);

    world.runtime.stop_pod_sandbox(&ended.sandboxes[0].id).await.unwrap();
    let stopped = world.runtime.observe(&web, Some(&ended)).await.unwrap();
    assert_eq!(stopped, world.runtime.observe(&web, None).await.unwrap());
    assert_eq!(stopped.sandboxes[0].state, SandboxState::NotReady);
}
