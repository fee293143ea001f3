//! The generator over a real containerd.

#![allow(clippy::unwrap_used, reason = "it is a test")]

use std::collections::HashMap;
use std::time::Duration;

use cri::v1::{ContainerConfig, ContainerMetadata, ImageSpec, PodSandboxConfig, PodSandboxMetadata};
use cri::{Endpoint, Runtime};
use pleg::{Metrics, Options, Pleg};
use telemetry::metrics::Registry;
use testkit::containerd::{BUSYBOX, Containerd};
use tokio::time::timeout;
use types::{PodName, PodRef, labels};

/// Longer than anything takes.
const LONG: Duration = Duration::from_secs(60);

/// No relist comes to help: the end must be told, whether by CRI events or by containerd's own.
#[tokio::test]
async fn real_an_exit_is_seen_without_a_relist() {
    let dir = tempfile::tempdir().unwrap();
    let containerd = Containerd::start(dir.path(), Default::default()).await.unwrap();
    let registry = Registry::default();
    let endpoint: Endpoint = containerd.endpoint().parse().unwrap();
    let runtime = Runtime::new(&endpoint, None, cri::Options::default(), cri::Metrics::register(&registry));
    let web = PodRef { name: PodName::new("default", "web"), uid: "u-1".into() };
    let labels = HashMap::from(
        [(labels::POD_NAME, "web"), (labels::POD_NAMESPACE, "default"), (labels::POD_UID, "u-1")]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let sandbox_config = PodSandboxConfig {
        metadata: Some(PodSandboxMetadata {
            name: "web".into(),
            uid: "u-1".into(),
            namespace: "default".into(),
            attempt: 0,
        }),
        labels: labels.clone(),
        ..Default::default()
    };
    let mut container_labels = labels;
    container_labels.insert(labels::CONTAINER_NAME.to_owned(), "app".to_owned());
    let container_config = ContainerConfig {
        metadata: Some(ContainerMetadata { name: "app".into(), attempt: 0 }),
        image: Some(ImageSpec { image: BUSYBOX.into(), ..Default::default() }),
        command: vec!["sleep".into(), "1000".into()],
        labels: container_labels,
        ..Default::default()
    };
    let sandbox = runtime.run_pod_sandbox(sandbox_config.clone(), "").await.unwrap();
    let container = runtime.create_container(&sandbox, container_config, sandbox_config).await.unwrap();
    runtime.start_container(&container).await.unwrap();

    let never = Duration::from_secs(100_000);
    let options =
        Options { slow_relist: never, fast_relist: never, reconnect: Duration::from_secs(1), events: true };
    let pleg = Pleg::new(runtime.clone(), options, Metrics::register(&registry));
    let mut observed = pleg.observed(&web);
    let task = tokio::spawn(pleg.run());
    let runs = |running: bool| {
        move |pod: &std::sync::Arc<types::ObservedPod>| {
            pod.newest("app").is_some_and(|app| app.state.is_running() == running)
        }
    };
    timeout(LONG, observed.wait_for(runs(true))).await.unwrap().unwrap();
    // As if it had died by itself: CRI is not asked to stop it.
    containerd.ctr(&["tasks", "kill", "--signal", "SIGKILL", container.as_str()]).await.unwrap();
    timeout(LONG, observed.wait_for(runs(false))).await.unwrap().unwrap();
    task.abort();
    containerd.stop().await.unwrap();
}
