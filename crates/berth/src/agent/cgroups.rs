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
use telemetry::metrics::{Gauge, Registry};
use tokio::sync::watch;
use tokio::time::timeout;
use types::resources::Amounts;

use super::here::NodeHere;
use super::lifecycle::PodLifecycle;
use super::settings::{self, ReservedCgroup};

/// The version of Kubernetes from which on a runtime has to say which cgroup driver it uses.
const DRIVER_NEEDED_FROM: &str = "1.37.0";
/// Waits before the cgroups of all pods are tried again; they double from the first to the last.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

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
    async fn open(&self, runtime: Option<cri::CgroupDriver>) -> anyhow::Result<PodCgroup> {
        if !self.on {
            return Ok(PodCgroup::Off);
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
        pods.setup(&self.together).await.context("cannot make the cgroups of pods")?;
        for reserved in &self.reserved {
            reserved.enforce(&pods, driver).await?;
        }
        tracing::info!(%driver, version = self.version.number(), "Pods have their cgroups");
        Ok(PodCgroup::On(pods))
    }
}

/// What pods wait for before the runtime has said what it is.
pub(super) fn awaited() -> PodCgroup {
    PodCgroup::Awaited("the runtime's cgroup driver: CRI calls Version and RuntimeConfig".to_owned())
}

/// Waits for the runtime's first answer and sets up what depends on it, again and again until it is there; then keeps
/// what the runtime can do up to date.
pub(super) async fn negotiate(
    setup: CgroupSetup,
    runtime: Runtime,
    mut health: watch::Receiver<RuntimeHealth>,
    cgroups: watch::Sender<PodCgroup>,
    facts: watch::Sender<Arc<NodeFacts>>,
    lifecycle: Arc<PodLifecycle>,
) -> anyhow::Result<()> {
    let (mut retry_in, mut told) = (Some(FIRST_RETRY), String::new());
    loop {
        let status = health.wait_for(|health| health.status.is_some()).await?.status.clone();
        if let Some(status) = status {
            facts.send_if_modified(|facts| {
                let news = facts.runtime_handlers != status.handlers;
                if news {
                    Arc::make_mut(facts).runtime_handlers.clone_from(&status.handlers);
                }
                news
            });
        }
        let Some(delay) = retry_in else {
            health.changed().await?;
            continue;
        };
        match first_answers(&setup, &runtime, &lifecycle).await {
            Ok(there) => {
                cgroups.send_replace(there);
                retry_in = None;
            }
            Err(error) => {
                let text = format!("{error:#}");
                cgroups.send_replace(PodCgroup::Awaited(format!(
                    "another try to make the cgroups of pods: {text}"
                )));
                if text != told {
                    tracing::error!(
                        error = text,
                        "No pod can start or end, since their cgroups cannot be made; it is tried again"
                    );
                    told = text;
                }
                let _ = timeout(delay, health.changed()).await;
                retry_in = Some((delay * 2).min(LAST_RETRY));
            }
        }
    }
}

async fn first_answers(
    setup: &CgroupSetup,
    runtime: &Runtime,
    lifecycle: &PodLifecycle,
) -> anyhow::Result<PodCgroup> {
    let version = runtime.version().await?;
    let driver = runtime.cgroup_driver().await?;
    lifecycle.runtime_name.send_replace(version.name.clone());
    if driver.is_none() {
        setup.losing_support.set(&[DRIVER_NEEDED_FROM], 1.0);
    }
    let cgroups = setup.open(driver).await?;
    tracing::info!(runtime = version.name, version = version.version, "Pods can be run");
    Ok(cgroups)
}
