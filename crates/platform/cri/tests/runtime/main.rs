//! The client against a fake runtime on a real socket. The clock is paused: deadlines pass at once when nothing else
//! happens.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
mod connection;
mod deadlines;
mod events;
mod observe;

use std::time::Duration;

use cri::{Metrics, Options, Runtime};
use telemetry::metrics::Registry;
use testkit::fake::{self, FakeRuntime};
use types::{ContainerId, PodName, PodRef, SandboxId};

/// Longer than any deadline in these tests.
const LONG: Duration = Duration::from_secs(3600);

/// A fake runtime and a client of it.
struct World {
    fake: FakeRuntime,
    runtime: Runtime,
    registry: Registry,
}

impl World {
    async fn start() -> Self {
        let fake = FakeRuntime::start().await.unwrap();
        let registry = Registry::new();
        let endpoint = fake.endpoint().parse().unwrap();
        let runtime = Runtime::new(&endpoint, None, Options::default(), Metrics::register(&registry));
        Self { fake, runtime, registry }
    }

    /// The value of a series in the exposition, as text.
    fn metric(&self, series: &str) -> Option<String> {
        let text = self.registry.encode();
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
    }

    /// Runs a sandbox of `pod`.
    async fn sandbox(&self, pod: &PodRef, attempt: u32) -> SandboxId {
        self.runtime.run_pod_sandbox(fake::sandbox_config(pod, attempt), "").await.unwrap()
    }

    /// Creates a container in `sandbox`, and starts it.
    async fn container(&self, pod: &PodRef, sandbox: &SandboxId, name: &str, attempt: u32) -> ContainerId {
        self.fake.add_image(fake::IMAGE, 1, false);
        let config = fake::container_config(pod, name, attempt);
        let sandbox_config = fake::sandbox_config(pod, 0);
        let id = self.runtime.create_container(sandbox, config, sandbox_config).await.unwrap();
        self.runtime.start_container(&id).await.unwrap();
        id
    }
}

fn pod(name: &str) -> PodRef {
    PodRef { name: PodName::new("shop", name), uid: format!("uid-{name}").into() }
}
