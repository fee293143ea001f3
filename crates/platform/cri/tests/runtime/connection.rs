//! The socket comes and goes.

use std::time::Duration;

use cri::{CriErrorKind, Endpoint, Metrics, Options, Runtime, v1};
use telemetry::metrics::Registry;
use testkit::fake::{self, FakeRuntime, Fault, Match};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::{LONG, World, pod};

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_not_there_is_unavailable_at_once() {
    let registry = Registry::new();
    let endpoint = Endpoint::at("/nonexistent/c.sock");
    let runtime = Runtime::new(&endpoint, None, Options::default(), Metrics::register(&registry));
    let start = Instant::now();
    let error = runtime.version().await.unwrap_err();
    assert_eq!(error.kind, CriErrorKind::Unavailable);
    assert!(error.message.contains("unix:///nonexistent/c.sock"), "{error}");
    assert!(error.message.contains("No such file or directory"), "{error}");
    assert!(runtime.events().await.is_err_and(|error| error.kind == CriErrorKind::Unavailable));
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_accepts_and_says_nothing_is_late() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("c.sock");
    let _listening = tokio::net::UnixListener::bind(&socket).unwrap();
    let metrics = Metrics::register(&Registry::new());
    let runtime = Runtime::new(&Endpoint::at(socket), None, Options::default(), metrics);
    let start = Instant::now();
    let error = runtime.version().await.unwrap_err();
    assert_eq!((error.kind, start.elapsed().as_secs()), (CriErrorKind::Timeout, 120), "{error}");
    assert!(runtime.events().await.is_err_and(|error| error.kind == CriErrorKind::Timeout));
}

#[tokio::test(start_paused = true)]
async fn something_else_than_a_runtime_is_unavailable() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("c.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let metrics = Metrics::register(&Registry::new());
    let runtime = Runtime::new(&Endpoint::at(socket), None, Options::default(), metrics);
    for _ in 0..3 {
        let error = runtime.version().await.unwrap_err();
        assert_eq!(error.kind, CriErrorKind::Unavailable, "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_breaks_calls_and_is_forgotten() {
    let mut world = World::start().await;
    let web = pod("web");
    world.sandbox(&web, 0).await;
    let _hung = world.fake.fault(Match::call("Status"), Fault::Hang);
    for _ in 0..3 {
        let runtime = world.runtime.clone();
        let waiting = tokio::spawn(async move { runtime.status().await });
        let before = world.fake.calls("Status");
        world.fake.wait_for("the call", LONG, |store| store.calls("Status") > before).await.unwrap();
        let start = Instant::now();
        world.fake.stop();
        let broken = waiting.await.unwrap().unwrap_err();
        assert_eq!(broken.kind, CriErrorKind::Unavailable, "{broken}");
        let refused = world.runtime.version().await.unwrap_err();
        assert_eq!(refused.kind, CriErrorKind::Unavailable, "{refused}");
        assert!(refused.message.contains("cri.sock"), "{refused}");
        world.fake.restart().await.unwrap();
        // What the runtime had, it still has.
        assert_eq!(world.runtime.list_pod_sandboxes(Some(&web.uid)).await.unwrap().len(), 1);
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn images_may_be_behind_another_socket() {
    let (sandboxes, images) = (FakeRuntime::start().await.unwrap(), FakeRuntime::start().await.unwrap());
    let endpoint = |fake: &FakeRuntime| fake.endpoint().parse::<Endpoint>().unwrap();
    let metrics = Metrics::register(&Registry::new());
    let runtime = Runtime::new(&endpoint(&sandboxes), Some(&endpoint(&images)), Options::default(), metrics);
    runtime.version().await.unwrap();
    let spec = v1::ImageSpec { image: "a:1".into(), ..Default::default() };
    runtime.pull_image(spec, None, None).await.unwrap();
    assert_eq!((sandboxes.calls("Version"), sandboxes.calls("PullImage")), (1, 0));
    assert_eq!((images.calls("Version"), images.calls("PullImage")), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn the_authority_is_one_that_every_server_takes() {
    let world = World::start().await;
    world.runtime.version().await.unwrap();
    assert_eq!(world.fake.authority().as_deref(), Some("localhost"));
}

#[tokio::test(start_paused = true)]
async fn answers_may_be_large_and_not_too_large() {
    let world = World::start().await;
    let web = pod("web");
    let sandbox = world.sandbox(&web, 0).await;
    world.fake.add_image(fake::IMAGE, 1, false);
    let create = async |attempt| {
        let mut config = fake::container_config(&web, "app", attempt);
        config.annotations.insert("large".into(), "x".repeat(1 << 20));
        world.runtime.create_container(&sandbox, config, fake::sandbox_config(&web, 0)).await.unwrap();
    };
    for attempt in 0..10 {
        create(attempt).await;
    }
    let listed = world.runtime.list_containers(None).await.unwrap();
    assert_eq!(listed.len(), 10);
    for attempt in 10..17 {
        create(attempt).await;
    }
    let error = world.runtime.list_containers(None).await.unwrap_err();
    assert_eq!(error.kind, CriErrorKind::ResourceExhausted, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_long_error_arrives() {
    let world = World::start().await;
    let long = "x".repeat(100_000);
    let _fault = world.fake.fault(Match::call("Version"), Fault::Fail(tonic::Code::Unknown, long.clone()));
    assert_eq!(world.runtime.version().await.unwrap_err().message, long);
}
