//! What the node, its pods and their containers use, for the node's API.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use cgroup::{Hierarchies, UsageReader};
use config::Loaded;
use containerconfig::logpath::pod_log_dir;
use cri::{CriError, ImageFsInfo, Runtime, v1};
use futures::future::{BoxFuture, FutureExt as _};
use node::RuntimeHealth;
use pleg::Pleg;
use server::{Refusal, Usage, UsagePage};
use stats::{
    DriverUsage, Metrics, Needs, NodeView, PodView, Room, Settings, ShownTo, Stats, SystemContainer,
    VolumeView,
};
use sync::PodCgroup;
use tokio::sync::watch;
use types::{Pod, PodRef};
use volume::{MeasuredBy, PodPaths, Quotas, measurable};
use worker::Table;

use super::here::NodeHere;
use super::volumestats::DriverVolumes;

/// How CRI-O calls itself (CRI: `Version`).
const CRI_O: &str = "cri-o";

/// What stats are read from.
pub(super) struct UsageNeeds {
    pub(super) pleg: Pleg,
    pub(super) table: watch::Receiver<Arc<Table>>,
    pub(super) cgroups: watch::Receiver<PodCgroup>,
    pub(super) runtime: Runtime,
    pub(super) runtime_name: watch::Receiver<String>,
    pub(super) sandbox_image: watch::Receiver<Option<String>>,
    pub(super) root_dir: PathBuf,
    pub(super) pod_logs_dir: PathBuf,
    /// The cgroups of daemons that are measured by themselves.
    pub(super) system: Vec<(SystemContainer, String)>,
    /// Who makes volumes of claims; nobody without an API server.
    pub(super) volumes: Option<DriverVolumes>,
    /// Who has file systems count volumes; nobody, and they are looked through.
    pub(super) quotas: Option<Quotas>,
}

impl UsageNeeds {
    fn view(&self, pod: &PodRef, spec: Option<&Pod>, cgroups: &PodCgroup) -> Option<PodView> {
        let observed = self.pleg.known(pod)?;
        let paths = PodPaths::new(&self.root_dir, &pod.uid).ok()?;
        let cgroup = match (cgroups, spec) {
            (PodCgroup::On(cgroups), Some(spec)) => cgroups.parent(spec).ok(),
            // Where that of a pod without a spec is depends on its QoS class, which nobody knows any more.
            _ => None,
        };
        Some(PodView {
            observed,
            cgroup,
            dir: paths.dir().to_owned(),
            logs: pod_log_dir(&self.pod_logs_dir, pod),
            volumes: spec.map(|spec| self.volumes(spec)).unwrap_or_default(),
        })
    }

    fn volumes(&self, pod: &Pod) -> Vec<VolumeView> {
        let view = |found: volume::Measurable| VolumeView {
            name: found.name,
            room: match found.by {
                MeasuredBy::Directory { path, ephemeral } => {
                    let project = self.quotas.as_ref().and_then(|quotas| quotas.project(&path));
                    Room::Directory { path, ephemeral, project }
                }
                MeasuredBy::Driver { claim } => Room::Driver { claim },
            },
        };
        measurable(&self.root_dir, pod).into_iter().map(view).collect()
    }
}

impl Needs for UsageNeeds {
    fn pods(&self) -> Vec<PodView> {
        let Some(pods) = self.pleg.pods().borrow().clone() else { return Vec::new() };
        let (table, cgroups) = (self.table.borrow().clone(), self.cgroups.borrow().clone());
        let view = |pod: &PodRef| {
            let spec = table.pods.get(&pod.uid).and_then(|entry| entry.target.pod());
            self.view(pod, spec.map(|spec| &**spec), &cgroups)
        };
        pods.iter().filter_map(view).collect()
    }

    fn node(&self) -> NodeView {
        let (pods, classes) = match &*self.cgroups.borrow() {
            PodCgroup::On(cgroups) => (Some(cgroups.path()), cgroups.class_paths()),
            PodCgroup::Awaited(_) | PodCgroup::Off => (None, Vec::new()),
        };
        NodeView {
            pods,
            classes,
            system: self.system.clone(),
            sandbox_image: self.sandbox_image.borrow().clone(),
            sandbox_container: if *self.runtime_name.borrow() == CRI_O { "POD" } else { "" },
        }
    }

    async fn container_stats(&self) -> Result<Vec<v1::ContainerStats>, CriError> {
        self.runtime.list_container_stats(None).await
    }

    async fn image_fs(&self) -> Result<ImageFsInfo, CriError> {
        self.runtime.image_fs_info().await
    }

    async fn driver_usage(&self, shown_to: &[ShownTo]) -> Option<DriverUsage> {
        self.volumes.as_ref()?.usage(shown_to).await
    }
}

/// What the node's API tells of what is used.
pub(super) struct UsageAnswers(Stats<UsageNeeds>);

impl UsageAnswers {
    /// What answers in this node's API.
    pub(super) fn new(stats: Stats<UsageNeeds>) -> Self {
        Self(stats)
    }
}

impl UsageNeeds {
    /// Stats of this node. Looks at the machine, which blocks for some milliseconds.
    ///
    /// # Errors
    /// If the cgroups cannot be found.
    pub(super) fn into_stats(
        self,
        loaded: &Loaded,
        here: &NodeHere,
        metrics: &Metrics,
    ) -> anyhow::Result<Stats<Self>> {
        let mount_point = Path::new(cgroup::version::MOUNT_POINT);
        let hierarchies = Hierarchies::find(here.cgroup_version, mount_point)
            .with_context(|| format!("cannot look for the cgroups in {}", mount_point.display()))?;
        let period = loaded.config.volume_stats_agg_period;
        let settings = Settings {
            node_name: here.name.clone(),
            root_dir: loaded.flags.root_dir.clone(),
            volume_period: (!period.is_negative()).then(|| period.get()),
        };
        Ok(Stats::new(settings, UsageReader::new(hierarchies), self, metrics))
    }
}

impl Usage for UsageAnswers {
    fn summary(&self, only_cpu_and_memory: bool) -> BoxFuture<'_, Result<String, Refusal>> {
        async move {
            let summary = self.0.summary(only_cpu_and_memory).await;
            let summary = summary.map_err(|error| Refusal::failed(telemetry::chain(&error)))?;
            serde_json::to_string(&summary).map_err(|error| Refusal::failed(telemetry::chain(&error)))
        }
        .boxed()
    }

    fn metrics(&self, page: UsagePage) -> BoxFuture<'_, String> {
        match page {
            UsagePage::Resource => self.0.resource_metrics().boxed(),
            UsagePage::Cadvisor => self.0.cadvisor_metrics().boxed(),
        }
    }
}

/// The cgroups of daemons that are measured by themselves: the one that this agent is in, and the runtime's if it is named.
pub(super) fn system_cgroups(loaded: &Loaded) -> Vec<(SystemContainer, String)> {
    // Whoever is in no cgroup of its own cannot be told from the node.
    let home = cgroup::home(linux::proc::Process::Current).ok().flatten().filter(|path| path != "/");
    let runtime = Some(loaded.flags.runtime_cgroups.clone()).filter(|path| !path.is_empty());
    let daemons = [(SystemContainer::Kubelet, home), (SystemContainer::Runtime, runtime)];
    daemons.into_iter().filter_map(|(name, path)| Some((name, path?))).collect()
}

/// Asks the runtime for the image of sandboxes when it is ready, and again when something about it has changed: it may
/// have been started anew with another one.
pub(super) async fn follow_sandbox_image(
    runtime: Runtime,
    mut health: watch::Receiver<RuntimeHealth>,
    image: watch::Sender<Option<String>>,
) {
    // The sender of health lives as long as the agent.
    while health.wait_for(|health| health.ready).await.is_ok() {
        health.mark_unchanged();
        match runtime.sandbox_image().await {
            Ok(told) => {
                image.send_replace(told);
            }
            Err(error) => {
                tracing::debug!(error = %telemetry::chain(&error), "The runtime does not tell the image of sandboxes");
            }
        }
        if health.changed().await.is_err() {
            return;
        }
    }
}
