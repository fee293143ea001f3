//! Every call arrives, and its answer comes back as our own.

use std::path::Path;
use std::time::Duration;

use cri::{CgroupDriver, CriErrorKind, ExecOutput, StreamOptions, v1};
use testkit::fake::{self, ExecAnswer, LogStream, Script};
use types::{ContainerState, SandboxState};

use crate::{World, pod};

#[tokio::test(start_paused = true)]
async fn the_runtime_itself() {
    let world = World::start().await;
    let version = world.runtime.version().await.unwrap();
    assert_eq!((version.name.as_str(), version.api_version.as_str()), ("containerd", "v1"));

    let status = world.runtime.status().await.unwrap();
    assert!(status.ready.status && status.network.status && status.supplemental_groups_policy);
    assert_eq!(status.handlers.len(), 2);
    assert!(status.handlers[1].user_namespaces);
    world.fake.set_network_ready(false, "NetworkPluginNotReady", "cni plugin not initialized");
    let network = world.runtime.status().await.unwrap().network;
    assert_eq!((network.status, network.reason.as_str()), (false, "NetworkPluginNotReady"));

    assert_eq!(world.runtime.cgroup_driver().await.unwrap(), Some(CgroupDriver::Cgroupfs));
    world.fake.set_cgroup_driver(None);
    assert_eq!(world.runtime.cgroup_driver().await.unwrap(), None);

    assert_eq!(world.runtime.sandbox_image().await.unwrap(), None);
    world.fake.set_sandbox_image("registry.example/pause:3.6");
    assert_eq!(world.runtime.sandbox_image().await.unwrap().as_deref(), Some("registry.example/pause:3.6"));

    world.runtime.update_pod_cidr("10.0.0.0/24").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_from_birth_to_death() {
    let world = World::start().await;
    let web = pod("web");
    let id = world.sandbox(&web, 0).await;
    let status = world.runtime.pod_sandbox_status(&id).await.unwrap();
    assert_eq!((status.state, status.ips.len()), (SandboxState::Ready, 1));

    let other = pod("other");
    world.sandbox(&other, 0).await;
    let listed = world.runtime.list_pod_sandboxes(Some(&web.uid)).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].0, &listed[0].1.id), (&web, &id));
    assert_eq!(world.runtime.list_pod_sandboxes(None).await.unwrap().len(), 2);

    let resources = v1::LinuxContainerResources { cpu_shares: 2, ..Default::default() };
    world.runtime.update_pod_sandbox_resources(&id, None, Some(resources)).await.unwrap();
    let url = world.runtime.port_forward(&id, &[80, 443]).await.unwrap();
    assert!(url.contains("/portforward/"), "{url}");

    world.runtime.stop_pod_sandbox(&id).await.unwrap();
    world.runtime.stop_pod_sandbox(&id).await.unwrap();
    let status = world.runtime.pod_sandbox_status(&id).await.unwrap();
    assert_eq!((status.state, status.ips.len()), (SandboxState::NotReady, 0));
    world.runtime.remove_pod_sandbox(&id).await.unwrap();
    world.runtime.remove_pod_sandbox(&id).await.unwrap();
    world.runtime.stop_pod_sandbox(&id).await.unwrap();
    let gone = world.runtime.pod_sandbox_status(&id).await.unwrap_err();
    assert_eq!((gone.kind, gone.call), (CriErrorKind::NotFound, "PodSandboxStatus"));
    assert!(world.fake.snapshot().violations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_container_from_birth_to_death() {
    let world = World::start().await;
    let web = pod("web");
    let sandbox = world.sandbox(&web, 0).await;
    let id = world.container(&web, &sandbox, "app", 0).await;
    let status = world.runtime.container_status(&id).await.unwrap();
    assert!(matches!(status.state, ContainerState::Running { .. }), "{status:?}");
    assert_eq!((&*status.name, status.image.as_str()), ("app", fake::IMAGE));
    assert!(status.log_path.ends_with("app/0.log"), "{}", status.log_path);

    let resources = v1::LinuxContainerResources { memory_limit_in_bytes: 7, ..Default::default() };
    world.runtime.update_container_resources(&id, resources).await.unwrap();
    let status = world.runtime.container_status(&id).await.unwrap();
    assert_eq!(status.resources.unwrap().memory_limit, 7);

    world.runtime.stop_container(&id, Duration::from_secs(30)).await.unwrap();
    world.runtime.stop_container(&id, Duration::from_secs(30)).await.unwrap();
    let exit = world.runtime.container_status(&id).await.unwrap().state.exit().cloned().unwrap();
    assert_eq!((exit.code, exit.reason.as_str()), (143, "Error"));
    assert!(exit.started_at.unwrap() < exit.finished_at);

    world.runtime.remove_container(&id).await.unwrap();
    world.runtime.remove_container(&id).await.unwrap();
    world.runtime.stop_container(&id, Duration::from_secs(30)).await.unwrap();
    assert_eq!(world.runtime.container_status(&id).await.unwrap_err().kind, CriErrorKind::NotFound);
    assert_eq!(world.fake.starts("web", "app"), 1);
    assert!(world.fake.snapshot().violations().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_container_that_does_not_stop_is_killed_after_its_grace() {
    let world = World::start().await;
    let web = pod("web");
    let sandbox = world.sandbox(&web, 0).await;
    world.fake.script(None, "app", Script { stops_after: Duration::from_secs(600), ..Script::default() });
    let id = world.container(&web, &sandbox, "app", 0).await;
    let start = tokio::time::Instant::now();
    // Longer than the usual deadline: the grace is added to it.
    world.runtime.stop_container(&id, Duration::from_secs(300)).await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 300);
    let status = world.runtime.container_status(&id).await.unwrap();
    assert_eq!(status.state.exit().unwrap().code, 137);
}

#[tokio::test(start_paused = true)]
async fn commands() {
    let world = World::start().await;
    let web = pod("web");
    let sandbox = world.sandbox(&web, 0).await;
    let id = world.container(&web, &sandbox, "app", 0).await;
    let command = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let second = Duration::from_secs(1);

    let answer =
        ExecAnswer { stdout: b"out".into(), stderr: b"err".into(), exit_code: 3, ..ExecAnswer::default() };
    world.fake.on_exec(&["cat", "x"], answer);
    let output = world.runtime.exec_sync(&id, command(&["cat", "x"]), second).await.unwrap();
    assert_eq!(output, ExecOutput { stdout: b"out".into(), stderr: b"err".into(), exit_code: 3 });

    let hour = Duration::from_secs(3600);
    world.fake.on_exec(&["sleep"], ExecAnswer { takes: hour, ..ExecAnswer::default() });
    let late = world.runtime.exec_sync(&id, command(&["sleep"]), second).await.unwrap_err();
    assert_eq!(late.kind, CriErrorKind::CommandTimedOut);
    // Without a limit of its own, a command may run as long as it likes.
    world.runtime.exec_sync(&id, command(&["sleep"]), Duration::ZERO).await.unwrap();

    let streams = StreamOptions { stdout: true, ..StreamOptions::default() };
    let url = world.runtime.exec(&id, command(&["sh"]), streams).await.unwrap();
    assert!(url.contains("/exec/"), "{url}");
    let url = world.runtime.attach(&id, streams).await.unwrap();
    assert!(url.contains("/attach/"), "{url}");

    world.fake.exit_container("web", "app", 0);
    let ended = world.runtime.exec_sync(&id, command(&["cat", "x"]), second).await.unwrap_err();
    assert_eq!(ended.kind, CriErrorKind::Other);
    assert!(ended.message.contains("CONTAINER_EXITED"), "{ended}");
}

#[tokio::test(start_paused = true)]
async fn log_files_are_opened_anew() {
    let world = World::start().await;
    let web = pod("web");
    let logs = tempfile::tempdir().unwrap();
    let config = v1::PodSandboxConfig {
        log_directory: logs.path().to_str().unwrap().to_owned(),
        ..fake::sandbox_config(&web, 0)
    };
    let sandbox = world.runtime.run_pod_sandbox(config, "").await.unwrap();
    let id = world.container(&web, &sandbox, "app", 0).await;
    world.fake.write_log("web", "app", LogStream::Stdout, "hello\nworld").unwrap();
    let path = logs.path().join("app/0.log");
    assert_eq!(world.runtime.container_status(&id).await.unwrap().log_path, path.to_str().unwrap());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().all(|line| line.contains(" stdout F ")) && text.ends_with(" world\n"), "{text}");

    std::fs::rename(&path, logs.path().join("rotated")).unwrap();
    world.runtime.reopen_container_log(&id).await.unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
}

#[tokio::test(start_paused = true)]
async fn images() {
    let world = World::start().await;
    let spec = |image: &str| v1::ImageSpec { image: image.to_owned(), ..Default::default() };
    assert_eq!(world.runtime.image_status(spec("a/b:1")).await.unwrap(), None);
    world.fake.set_pullable(&["a/b:1"]);
    let auth = v1::AuthConfig { username: "me".into(), password: "secret".into(), ..Default::default() };
    let reference = world.runtime.pull_image(spec("a/b:1"), Some(auth), None).await.unwrap();
    let refused = world.runtime.pull_image(spec("c/d:1"), None, None).await.unwrap_err();
    assert_eq!((refused.call, refused.kind), ("PullImage", CriErrorKind::NotFound));

    let image = world.runtime.image_status(spec("a/b:1")).await.unwrap().unwrap();
    assert_eq!((&image.id, image.repo_tags.as_slice()), (&reference, ["a/b:1".to_owned()].as_slice()));
    assert!(image.repo_digests[0].starts_with("a/b@sha256:"), "{image:?}");
    assert_eq!(world.runtime.list_images().await.unwrap(), [image]);

    let info = world.runtime.image_fs_info().await.unwrap();
    assert_eq!((info.images[0].used_bytes, info.images[0].inodes_used), (10 << 20, Some(100)));
    assert!(info.images[0].mountpoint.is_absolute());

    world.runtime.remove_image(spec("a/b:1")).await.unwrap();
    world.runtime.remove_image(spec("a/b:1")).await.unwrap();
    assert!(world.runtime.list_images().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn usage() {
    let world = World::start().await;
    let web = pod("web");
    let sandbox = world.sandbox(&web, 0).await;
    let id = world.container(&web, &sandbox, "app", 0).await;
    let stats = world.runtime.container_stats(&id).await.unwrap();
    assert_eq!(stats.attributes.unwrap().id, id.as_str());
    assert_eq!(world.runtime.list_container_stats(None).await.unwrap().len(), 1);
    let stats = world.runtime.pod_sandbox_stats(&sandbox).await.unwrap();
    assert_eq!(stats.linux.unwrap().containers.len(), 1);
    assert_eq!(world.runtime.list_pod_sandbox_stats(None).await.unwrap().len(), 1);
    assert!(world.runtime.list_metric_descriptors().await.unwrap().is_empty());
    assert!(world.runtime.list_pod_sandbox_metrics().await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_runtime_does_not_know_is_unimplemented() {
    let world = World::start().await;
    let refused = world
        .runtime
        .checkpoint_container(&"c1".into(), Path::new("/tmp/c.tar"), Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!((refused.call, refused.kind), ("CheckpointContainer", CriErrorKind::Unimplemented));
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted() {
    let world = World::start().await;
    let web = pod("web");
    world.sandbox(&web, 0).await;
    world.runtime.run_pod_sandbox(fake::sandbox_config(&web, 0), "").await.unwrap_err();
    let count = |name: &str, labels: &str| world.metric(&format!("{name}{{{labels}}}"));
    let operation = r#"operation_type="run_podsandbox""#;
    assert_eq!(count("kubelet_runtime_operations_total", operation).as_deref(), Some("2"));
    assert_eq!(count("kubelet_runtime_operations_errors_total", operation).as_deref(), Some("1"));
    assert_eq!(count("kubelet_runtime_operations_duration_seconds_count", operation).as_deref(), Some("2"));
    let handler = r#"runtime_handler="""#;
    assert_eq!(count("kubelet_run_podsandbox_duration_seconds_count", handler).as_deref(), Some("2"));
    assert_eq!(count("kubelet_run_podsandbox_errors_total", handler).as_deref(), Some("1"));
    assert_eq!(world.fake.snapshot().violations().len(), 1);
}
