//! What the tests of this crate stand on.

#![allow(dead_code, reason = "no test file uses all of it")]
#![allow(clippy::unwrap_used, reason = "it is a test")]

use std::path::Path;
use std::time::Duration;

use cri::{Endpoint, Runtime};
use image::policy::PullPolicy;
use image::{Access, Images, Metrics, NodeCredentials, Options, Request, Verification};
use task::events::Recorder;
use telemetry::metrics::Registry;
use tempfile::TempDir;
use testkit::fake::FakeRuntime;
use tokio::sync::mpsc;
use types::{ContainerKind, Event, PodName, PodRef};

/// The image that tests pull.
pub(crate) const APP: &str = "registry.example/app:1";

/// Longer than anything takes.
pub(crate) const LONG: Duration = Duration::from_secs(3600);

pub(crate) struct Node {
    pub(crate) fake: FakeRuntime,
    pub(crate) runtime: Runtime,
    pub(crate) images: Images,
    pub(crate) registry: Registry,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Metrics,
    pub(crate) access: Option<Access>,
    events: mpsc::Receiver<Event>,
    home: TempDir,
}

/// A node with an empty runtime, whose images are pulled with `options`.
pub(crate) async fn node(options: Options) -> Node {
    let fake = FakeRuntime::start().await.unwrap();
    node_on(fake, options, None)
}

/// A node on `fake` that records pulls in the given directory and verifies by the given policy.
pub(crate) fn node_on(fake: FakeRuntime, options: Options, access: Option<(&Path, Verification)>) -> Node {
    let registry = Registry::default();
    let runtime = Runtime::new(
        &Endpoint::at(fake.socket()),
        None,
        cri::Options::default(),
        cri::Metrics::register(&registry),
    );
    let (recorder, events) = Recorder::channel(1000);
    let metrics = Metrics::register(&registry);
    let access = access.map(|(root, policy)| Access::open(root, policy, metrics.clone()).unwrap());
    let home = tempfile::tempdir().unwrap();
    let credentials = NodeCredentials::new(home.path().to_owned(), None);
    let images =
        Images::new(runtime.clone(), credentials, access.clone(), options, recorder.clone(), metrics.clone());
    Node { fake, runtime, images, registry, recorder, metrics, access, events, home }
}

pub(crate) fn pod(name: &str) -> PodRef {
    PodRef { name: PodName::new("default", name), uid: format!("uid-{name}").into() }
}

pub(crate) fn request<'a>(pod: &'a PodRef, image: &'a str, policy: PullPolicy) -> Request<'a> {
    Request {
        pod,
        kind: ContainerKind::Regular,
        container: "app",
        image,
        policy,
        pull_secrets: &[],
        sandbox: None,
    }
}

impl Node {
    /// Gives the node credentials, as the text of a `config.json`.
    pub(crate) fn has_credentials(&self, config: &str) {
        std::fs::write(self.home.path().join("config.json"), config).unwrap();
    }

    /// The events since the last call, each as `Type Reason field: message`.
    pub(crate) fn events(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            let field = event.field_path.unwrap_or_default();
            events.push(format!("{} {} {field}: {}", event.kind.as_str(), event.reason, event.message));
        }
        events
    }

    /// The lines of the metrics that begin with `name`.
    pub(crate) fn metric(&self, name: &str) -> Vec<String> {
        let text = self.registry.encode();
        text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
    }
}
