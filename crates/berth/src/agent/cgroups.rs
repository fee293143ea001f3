//! The cgroups of pods, made once the runtime has said how, and what else depends on its first answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cgroup::{CgroupName, Cgroups, Driver, PodCgroups, Version};
use config::{CgroupDriver, Loaded};
use containerconfig::NodeFacts;
use cri::Runtime;
use node::RuntimeHealth;
use sync::PodCgroup;
use task::doubling::Doubling;
use task::events::Recorder;
use telemetry::metrics::{Gauge, Registry};
use tokio::sync::watch;
use tokio::time::timeout;
use types::reason::event;
use types::resources::Amounts;
use types::{Event, EventKind};

use super::here::NodeHere;
use super::lifecycle::PodLifecycle;
use super::settings::{self, ReservedCgroup};

/// The version of Kubernetes from which on a runtime has to say which cgroup driver it uses.
const DRIVER_NEEDED_FROM: &str = "1.37.0";
/// Waits before the cgroups of all pods are tried again.
const RETRIES: Doubling = Doubling::new(Duration::from_secs(1), Duration::from_secs(60));

/// What the cgroups of pods are made from once the runtime has said which driver it uses.
pub(super) struct CgroupSetup {
    on: bool,
    configured: Driver,
    /// Whether somebody chose that driver, or it is the default.
    chosen: bool,
    version: Version,
    root: CgroupName,
    page_sizes: Vec<u64>,
    together: Amounts,
    reserved: Vec<ReservedCgroup>,
    losing_support: Gauge,
    metrics: cgroup::Metrics,
}

impl CgroupSetup {
    pub(super) fn new(
        loaded: &Loaded,
        here: &NodeHere,
        registry: &Registry,
        losing_support: Gauge,
    ) -> anyhow::Result<Self> {
        let config = &loaded.config;
        let root = match config.cgroup_root.as_str() {
            "" => CgroupName::root(),
            path => CgroupName::parse_cgroupfs(path).context("cgroupRoot")?,
        };
        Ok(Self {
            on: config.cgroups_per_qos,
            configured: if config.cgroup_driver == CgroupDriver::Systemd {
                Driver::Systemd
            } else {
                Driver::Cgroupfs
            },
            chosen: loaded.provenance.is_set("cgroupDriver"),
            version: here.cgroup_version,
            root,
            page_sizes: here.machine.page_sizes().collect(),
            together: here.together.clone(),
            reserved: settings::reserved_cgroups(config)?,
            losing_support,
            metrics: cgroup::Metrics::register(registry),
        })
    }

    /// The runtime's driver wins. That somebody wanted another is told.
    fn choose(&self, runtime: Option<Driver>) -> Driver {
        let (configured, driver) = (self.configured, Driver::choose(self.configured, runtime));
        if driver != configured && self.chosen {
            tracing::warn!(
                %configured,
                runtime = %driver,
                "cgroupDriver is not the driver of the container runtime, which is used: set both to the same (containerd: SystemdCgroup), or leave cgroupDriver out"
            );
        }
        driver
    }

    /// Makes the tree of cgroups with the driver that the runtime uses, or with the configured one if it does not say.
    async fn make(&self, runtime: Option<cri::CgroupDriver>) -> anyhow::Result<Option<(Driver, PodCgroups)>> {
        if !self.on {
            return Ok(None);
        }
        let runtime = runtime.map(|driver| match driver {
            cri::CgroupDriver::Systemd => Driver::Systemd,
            cri::CgroupDriver::Cgroupfs => Driver::Cgroupfs,
        });
        let driver = self.choose(runtime);
        let mount_point = Path::new(cgroup::version::MOUNT_POINT);
        let cgroups =
            Cgroups::open(self.version, driver, mount_point, self.root.clone(), self.metrics.clone()).await?;
        let pods = PodCgroups::new(cgroups, &self.page_sizes)?;
        pods.setup().await.context("cannot make the cgroups of pods")?;
        tracing::info!(%driver, version = self.version.number(), "Pods have their cgroups");
        Ok(Some((driver, pods)))
    }

    /// Limits all pods together, and daemons to what is reserved for them (`enforceNodeAllocatable`).
    async fn limit(&self, driver: Driver, pods: &PodCgroups) -> anyhow::Result<()> {
        pods.limit_together(&self.together).await.context("cannot limit all pods together")?;
        for reserved in &self.reserved {
            reserved.enforce(pods, driver).await?;
        }
        Ok(())
    }
}

/// What pods wait for before the runtime has said what it is.
pub(super) fn awaited() -> PodCgroup {
    PodCgroup::Awaited("the runtime's cgroup driver: CRI calls Version and RuntimeConfig".to_owned())
}

/// What is left to be set up.
enum Left {
    Cgroups,
    Limits(Driver, PodCgroups),
    Nothing,
}

/// Sets up what depends on the runtime's first answer.
pub(super) struct Negotiation {
    pub(super) setup: CgroupSetup,
    pub(super) runtime: Runtime,
    pub(super) cgroups: watch::Sender<PodCgroup>,
    pub(super) facts: watch::Sender<Arc<NodeFacts>>,
    pub(super) recorder: Recorder,
    pub(super) lifecycle: Arc<PodLifecycle>,
}

impl Negotiation {
    /// Waits for the runtime's first answer and sets up what depends on it, trying again until all is there. Keeps what
    /// the runtime can do up to date.
    pub(super) async fn run(self, mut health: watch::Receiver<RuntimeHealth>) {
        let (mut left, mut failures, mut told) = (Left::Cgroups, 0, String::new());
        // The sender of health lives as long as the agent.
        loop {
            match health.wait_for(|health| health.status.is_some()).await.as_deref() {
                Ok(RuntimeHealth { status: Some(status), .. }) => self.tell_handlers(status),
                _ => return,
            }
            let outcome = match &left {
                Left::Cgroups => self.make().await,
                Left::Limits(driver, pods) => self.limit(*driver, pods).await,
                Left::Nothing => {
                    let _ = health.changed().await;
                    continue;
                }
            };
            match outcome {
                Ok(next) => (left, failures, told) = (next, 0, String::new()),
                Err(error) => {
                    let text = format!("{error:#}");
                    self.tell_failure(&left, &text, text != told);
                    told = text;
                    failures += 1;
                    let _ = timeout(RETRIES.after(failures), health.changed()).await;
                }
            }
        }
    }

    fn tell_handlers(&self, status: &cri::RuntimeStatus) {
        self.facts.send_if_modified(|facts| {
            let news = facts.runtime_handlers != status.handlers;
            if news {
                Arc::make_mut(facts).runtime_handlers.clone_from(&status.handlers);
            }
            news
        });
    }

    async fn make(&self) -> anyhow::Result<Left> {
        let version = self.runtime.version().await?;
        let driver = self.runtime.cgroup_driver().await?;
        self.lifecycle.runtime_name.send_replace(version.name.clone());
        if driver.is_none() {
            self.setup.losing_support.set(&[DRIVER_NEEDED_FROM], 1.0);
        }
        let made = self.setup.make(driver).await?;
        tracing::info!(runtime = version.name, version = version.version, "The container runtime answers");
        Ok(match made {
            Some((driver, pods)) => {
                self.cgroups.send_replace(PodCgroup::On(pods.clone()));
                Left::Limits(driver, pods)
            }
            None => {
                self.cgroups.send_replace(PodCgroup::Off);
                Left::Nothing
            }
        })
    }

    async fn limit(&self, driver: Driver, pods: &PodCgroups) -> anyhow::Result<Left> {
        self.setup.limit(driver, pods).await?;
        let text = "Updated Node Allocatable limit across pods";
        self.recorder.record(Event::node(EventKind::Normal, event::NODE_ALLOCATABLE_ENFORCED, text));
        Ok(Left::Nothing)
    }

    fn tell_failure(&self, left: &Left, error: &str, is_news: bool) {
        if matches!(left, Left::Cgroups) {
            let awaited = format!("another try to make the cgroups of all pods: {error}");
            self.cgroups.send_replace(PodCgroup::Awaited(awaited));
            if is_news {
                tracing::error!(error, "No pod can start or end: the cgroups of all pods cannot be made yet");
            }
        } else {
            let text = format!("Failed to update Node Allocatable Limits: {error}");
            self.recorder.record(Event::node(
                EventKind::Warning,
                event::FAILED_NODE_ALLOCATABLE_ENFORCEMENT,
                text,
            ));
        }
    }
}
