//! All volumes of a node that are not made in its pods' directories alone: those that berth mounts itself, with or without
//! an API server, and with one those of claims and of CSI drivers.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::Loaded;
use intree::{Layout, Machine, Source, VolumesConfig};
use task::events::Recorder;
use tokio::sync::watch;
use types::corev1::Volume;
use types::{Pod, PodRef, PodUid};
use volume::{DriverError, FoundVolume, Mounted, Onlooker, Problem};
use worker::Table;

use super::ClusterDrivers;
use super::found::{Shown, ToMount, source};
use super::specs::{is_of_claim, is_read_only, wake_waiting};

/// Where programs are looked for if the environment does not say.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// By so much sooner it is said which command hangs than a pod's round of work is given up.
const SOONER: Duration = Duration::from_secs(3);

const NO_SERVER: &str = "an API server: give berth a kubeconfig";

/// The volumes that berth mounts itself, on the node `node`, whose volumes are attached by a control plane if it
/// `has_controller`.
pub(crate) fn mounted_volumes(
    loaded: &Loaded,
    node: &str,
    has_controller: bool,
    deadline: Duration,
    recorder: Recorder,
) -> intree::Volumes {
    intree::Volumes::new(VolumesConfig {
        layout: Layout::new(loaded.flags.root_dir.clone()),
        machine: Machine::default(),
        plugin_dir: loaded.config.volume_plugin_dir.clone(),
        node: node.to_owned(),
        deadline: deadline.saturating_sub(SOONER),
        attaches: !(has_controller && loaded.config.enable_controller_attach_detach),
        search_path: std::env::var_os("PATH").unwrap_or_else(|| OsString::from(SEARCH_PATH)),
        recorder,
    })
}

/// The volumes of a node.
#[derive(Debug)]
pub(crate) struct NodeDrivers {
    /// Those that berth mounts itself.
    pub(crate) mounted: intree::Volumes,
    /// Those of claims and drivers; none without an API server.
    pub(crate) cluster: Option<Arc<ClusterDrivers>>,
}

impl NodeDrivers {
    /// Releases the devices that a crash left, once it is known which pods there are.
    pub(crate) async fn reclaim(self: Arc<Self>, mut table: watch::Receiver<Arc<Table>>) {
        if table.wait_for(|table| table.complete).await.is_err() {
            return;
        }
        loop {
            match self.mounted.reclaim().await {
                // Without a device that is left there is nothing to do.
                Ok(failed) if failed.is_empty() => return std::future::pending().await,
                Ok(failed) => {
                    for (device, error) in &failed {
                        let error = telemetry::chain(error);
                        tracing::debug!(%device, error, "A device that no pod has is still mounted");
                    }
                }
                Err(error) => {
                    let error = telemetry::chain(&error);
                    tracing::warn!(error, "The devices of volumes cannot be listed");
                }
            }
            // Tried again when there is news.
            if table.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Wakes the workers of the pods in `table` that may wait for a command of `volumes` when one ends that was waited for no longer.
pub(crate) async fn wake_after_commands(volumes: intree::Volumes, table: watch::Receiver<Arc<Table>>) {
    let mut ends = volumes.late_ends();
    // The sender lives as long as the agent.
    while ends.changed().await.is_ok() {
        wake_waiting(&table.borrow(), |volume| is_of_claim(volume) || Source::Inline(volume).is_ours());
    }
}

#[async_trait]
impl volume::Drivers for NodeDrivers {
    /// A volume that is there needs nobody.
    async fn find(
        &self,
        pod: &Pod,
        volume: &Volume,
        onlooker: &dyn Onlooker,
    ) -> Result<Box<dyn FoundVolume>, Problem> {
        let uid = PodRef::of(pod).uid;
        let is_owed = self.cluster.as_ref().is_some_and(|cluster| cluster.is_owed(&uid, &volume.name));
        if !is_owed && let Some(shown) = self.mounted.shown(&uid, &volume.name).await {
            let read_only = is_read_only(pod, volume);
            let selinux_relabel = !read_only && !shown.labelled && shown.target.plugin != intree::Plugin::Nfs;
            let source = source(shown.path, shown.target.mode);
            return Ok(Box::new(Shown(Mounted { source, read_only, selinux_relabel })));
        }
        let source = Source::Inline(volume);
        if source.is_ours() {
            let to_mount = match (&self.cluster, source.secret(pod)) {
                (Some(cluster), _) => {
                    let to_mount = cluster.mounted_here(pod, volume, source, onlooker).await;
                    onlooker.waits_for(&volume.name, None);
                    to_mount?
                }
                (None, Some(secret)) => {
                    let what = format!("secret {}/{} of the volume", secret.namespace, secret.name);
                    return Err(Problem::Unsupported { what, needs: NO_SERVER });
                }
                (None, None) => {
                    let wanted = intree::wanted(pod, source, None);
                    let wanted = wanted.map_err(|error| Problem::Driver(error.into()))?;
                    ToMount { volumes: self.mounted.clone(), wanted, conflicts: None, grower: None }
                }
            };
            return Ok(Box::new(to_mount));
        }
        match &self.cluster {
            Some(cluster) => cluster.find(pod, volume, onlooker).await,
            None => Err(Problem::Unsupported {
                what: "a volume of a claim or of a CSI driver".to_owned(),
                needs: NO_SERVER,
            }),
        }
    }

    async fn plugin(&self, uid: &PodUid, name: &str) -> Option<String> {
        if let Some(shown) = self.mounted.shown(uid, name).await {
            return Some(shown.target.plugin.qualified_name());
        }
        self.cluster.as_ref()?.plugin(uid, name).await
    }

    async fn groups(&self, uid: &PodUid) -> Vec<i64> {
        match &self.cluster {
            Some(cluster) => cluster.groups(uid).await,
            None => Vec::new(),
        }
    }

    /// What hangs in one place holds up nothing in the other.
    async fn take_down(&self, uid: &PodUid, onlooker: &dyn Onlooker) -> Result<(), DriverError> {
        let theirs = async {
            match &self.cluster {
                Some(cluster) => cluster.take_down(uid, onlooker).await,
                None => Ok(()),
            }
        };
        let (ours, theirs) = tokio::join!(self.mounted.take_down(uid, onlooker), theirs);
        if let (Ok(true) | Err(_), Some(cluster)) = (&ours, &self.cluster) {
            cluster.doubt_used();
        }
        ours?;
        theirs
    }

    fn arrivals(&self) -> u64 {
        let registrations = self.cluster.as_ref().map_or(0, |cluster| cluster.arrivals());
        registrations + *self.mounted.late_ends().borrow()
    }
}
