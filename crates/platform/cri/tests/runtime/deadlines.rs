//! No call outlives its deadline, and one that hangs disturbs no other.

use std::time::Duration;

use cri::{CriErrorKind, v1};
use testkit::fake::{Fault, Match};
use tokio::time::Instant;

use crate::{LONG, World, pod};

#[tokio::test(start_paused = true)]
async fn a_hung_call_ends_at_its_deadline() {
    let world = World::start().await;
    let web = pod("web");
    let sandbox = world.sandbox(&web, 0).await;
    let id = world.container(&web, &sandbox, "app", 0).await;
    let hang = |call| world.fake.fault(Match::call(call), Fault::Hang);

    let start = Instant::now();
    let guard = hang("Status");
    let error = world.runtime.status().await.unwrap_err();
    assert_eq!((error.kind, start.elapsed().as_secs()), (CriErrorKind::Timeout, 120), "{error}");
    drop(guard);
    world.runtime.status().await.unwrap();

    let _guard = hang("RunPodSandbox");
    let start = Instant::now();
    let config = testkit::fake::sandbox_config(&pod("other"), 0);
    let error = world.runtime.run_pod_sandbox(config, "").await.unwrap_err();
    assert_eq!((error.kind, start.elapsed().as_secs()), (CriErrorKind::Timeout, 240), "{error}");

    let _guard = hang("StopContainer");
    let start = Instant::now();
    let error = world.runtime.stop_container(&id, Duration::from_secs(30)).await.unwrap_err();
    assert_eq!((error.kind, start.elapsed().as_secs()), (CriErrorKind::Timeout, 150), "{error}");

    let _guard = hang("ExecSync");
    let start = Instant::now();
    let error =
        world.runtime.exec_sync(&id, vec!["true".into()], Duration::from_millis(500)).await.unwrap_err();
    assert_eq!((error.kind, start.elapsed().as_secs()), (CriErrorKind::Timeout, 120), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_hung_call_delays_no_other() {
    let world = World::start().await;
    let hung = world.fake.fault(Match::call("Status"), Fault::Hang);
    let waiting: Vec<_> = (0..200)
        .map(|_| {
            let runtime = world.runtime.clone();
            tokio::spawn(async move { runtime.status().await })
        })
        .collect();
    world.fake.wait_for("all calls", LONG, |store| store.calls("Status") == 200).await.unwrap();
    let start = Instant::now();
    world.runtime.version().await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(1));
    drop(hung);
    for call in waiting {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_pull_takes_as_long_as_it_takes_and_can_be_dropped() {
    let world = World::start().await;
    let image = || v1::ImageSpec { image: "big:1".into(), ..Default::default() };
    let day = Duration::from_secs(86_400);
    let slow = world.fake.fault(Match::call("PullImage"), Fault::Delay(day));
    world.runtime.pull_image(image(), None, None).await.unwrap();
    drop(slow);

    let _hung = world.fake.fault(Match::call("PullImage"), Fault::Hang);
    let abandoned = tokio::time::timeout(day, world.runtime.pull_image(image(), None, None)).await;
    assert!(abandoned.is_err());
    let errors = r#"kubelet_runtime_operations_errors_total{operation_type="pull_image"}"#;
    assert_eq!(world.metric(errors).as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_a_timeout_of_what_has_been_done() {
    let world = World::start().await;
    let web = pod("web");
    let _lost = world.fake.fault(Match::call("RunPodSandbox").pod("web"), Fault::LoseAnswer);
    let config = testkit::fake::sandbox_config(&web, 0);
    let error = world.runtime.run_pod_sandbox(config, "").await.unwrap_err();
    assert_eq!(error.kind, CriErrorKind::Timeout);
    assert_eq!(world.runtime.list_pod_sandboxes(Some(&web.uid)).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn faults_strike_what_they_match() {
    let world = World::start().await;
    let (web, other) = (pod("web"), pod("other"));
    let refuse = || Fault::Fail(tonic::Code::Unknown, "no".into());
    let _once = world.fake.fault(Match::call("RunPodSandbox").pod("web").times(1), refuse());
    let run = |pod, attempt| world.runtime.run_pod_sandbox(testkit::fake::sandbox_config(pod, attempt), "");
    run(&other, 0).await.unwrap();
    assert_eq!(run(&web, 0).await.unwrap_err().message, "no");
    let sandbox = run(&web, 0).await.unwrap();

    world.fake.add_image(testkit::fake::IMAGE, 1, false);
    let _app = world.fake.fault(Match::call("CreateContainer").container("app"), refuse());
    let create = |name| {
        let config = testkit::fake::container_config(&web, name, 0);
        world.runtime.create_container(&sandbox, config, testkit::fake::sandbox_config(&web, 0))
    };
    create("app").await.unwrap_err();
    create("helper").await.unwrap();
    let journal = world.fake.snapshot().journal_of("web");
    let expected = ["RunPodSandbox", "RunPodSandbox", "CreateContainer app", "CreateContainer helper"];
    assert_eq!(journal, expected);
}
