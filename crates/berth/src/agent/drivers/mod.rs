//! Volumes of claims and of CSI drivers: what the API server says of them, told to the drivers on the node.

mod error;
mod grow;
mod label;
mod usage;
mod wanted;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use config::Loaded;
use csi::Layout;
use kubeapi::{Client, Selection, Store, Tokens};
use registry::Handlers;
use task::events::Recorder;
use task::supervisor::Supervisor;
use telemetry::metrics::Registry;
use tokio::sync::watch;
use types::corev1::Volume;
use types::k8s::api::storage::v1::CSIDriver;
use types::objects::Objects;
use types::{Pod, PodRef, PodUid, pod};
use volume::claim;
use volume::{DriverError, MountSource, Mounted};
use worker::Table;

use super::cluster::Cluster;
pub(super) use grow::Grower;
use grow::OfClaim;
use label::Labels;
#[cfg(test)]
pub(super) use label::Metrics as LabelMetrics;

/// How long one object of the API server is waited for.
const DEADLINE: Duration = Duration::from_secs(10);

/// The drivers of a node of a cluster.
pub(super) struct ClusterDrivers {
    client: Client,
    volumes: csi::Volumes,
    registered: csi::Drivers,
    objects: Store<CSIDriver>,
    tokens: Tokens,
    grower: Grower,
    labels: Labels,
}

impl fmt::Debug for ClusterDrivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterDrivers").finish_non_exhaustive()
    }
}

impl ClusterDrivers {
    /// The drivers that register below `--root-dir`. `node` is the node's name.
    pub(super) fn open(
        loaded: &Loaded,
        node: &str,
        deadline: Duration,
        cluster: &Cluster,
        metrics: &Registry,
        recorder: &Recorder,
        supervisor: &mut Supervisor,
    ) -> Arc<Self> {
        let root_dir: &Path = &loaded.flags.root_dir;
        let registered = csi::Drivers::new(pluginapi::csi::Metrics::register(metrics));
        let handlers = Handlers::default().with("CSIPlugin", Arc::new(registered.clone()));
        let plugins = registry::Registry::new(
            root_dir.join("plugins_registry"),
            handlers,
            registry::Metrics::register(metrics),
        );
        supervisor.spawn("plugins", plugins.run());
        let volumes = csi::Volumes::new(csi::VolumesConfig {
            layout: Layout::new(root_dir.to_owned()),
            node: node.to_owned(),
            drivers: registered.clone(),
            recorder: recorder.clone(),
            deadline,
        });
        let grower = Grower::new(
            cluster.client.clone(),
            volumes.clone(),
            node,
            recorder.clone(),
            volume::Metrics::register(metrics),
            // Rounds of a pod's work come with each resync, and at other times.
            loaded.config.sync_frequency.get() / 2,
        );
        Arc::new(Self {
            client: cluster.client.clone(),
            volumes,
            registered,
            objects: Store::start(&cluster.client, Selection::default()),
            tokens: Tokens::new(cluster.client.clone()),
            labels: Labels::new(&loaded.gates, metrics),
            grower,
        })
    }

    /// Who has volumes grow.
    pub(super) fn grower(&self) -> Grower {
        self.grower.clone()
    }

    /// The drivers that are registered, and changes of them.
    pub(super) fn registered(&self) -> watch::Receiver<csi::Table> {
        self.registered.subscribe()
    }

    /// Wakes the workers of the pods in `table` that may wait for a driver when one comes, and has it take down what is
    /// staged for nobody.
    pub(super) async fn serve(self: Arc<Self>, mut table: watch::Receiver<Arc<Table>>) {
        // Before all pods are known, none waits for a driver, and nothing is staged for nobody.
        if table.wait_for(|table| table.complete).await.is_err() {
            return;
        }
        let mut registered = self.registered();
        registered.mark_changed();
        while registered.changed().await.is_ok() {
            let pods = table.borrow().clone();
            let waits = |pod: &Pod| pod::spec(pod).volumes.iter().flatten().any(is_of_driver);
            for entry in pods.pods.values().filter(|entry| entry.target.pod().is_some_and(|pod| waits(pod))) {
                entry.cell.wake();
            }
            // What a pod wants is published to it, or is about to be, and then its worker says so.
            for (volume, error) in self.volumes.reclaim(&BTreeSet::new()).await {
                let error = telemetry::chain(&error);
                tracing::debug!(%volume, error, "A volume that no pod has is still staged");
            }
        }
    }
}

#[async_trait]
impl volume::Drivers for ClusterDrivers {
    /// A volume that is there needs neither the API server nor its driver.
    async fn prepare(&self, pod: &Pod, volume: &Volume, _: &Objects) -> Result<Mounted, DriverError> {
        // What is mounted with a label has no need of another.
        let mounted = |path, read_only: bool, labelled: bool| Mounted {
            source: MountSource::HostPath(path),
            read_only,
            selinux_relabel: !read_only && !labelled,
        };
        let uid = PodRef::of(pod).uid;
        if !self.grower.is_owed(&uid, &volume.name)
            && let Some(path) = self.volumes.shown(&uid, &volume.name).await
        {
            let labelled = self.labels.are_on() && self.volumes.label(&uid, &volume.name).await.is_some();
            return Ok(mounted(path, is_read_only(pod, volume), labelled));
        }
        let (wanted, _) = self.wanted(pod, volume).await?;
        let path = self.volumes.prepare(&wanted).await.inspect_err(|error| {
            if matches!(error, csi::VolumeError::Label { .. }) {
                self.labels.conflict(&wanted.volume.driver, wanted.by_one_pod);
            }
        })?;
        if let Some(of_claim) = OfClaim::of(pod, volume) {
            self.grower.grow_at_mount(&of_claim, &wanted.volume).await?;
        }
        Ok(mounted(path, wanted.read_only, wanted.label.is_some()))
    }

    async fn refresh(&self, pod: &Pod, volume: &Volume, _: &Objects) -> Result<(), DriverError> {
        // The API server is asked only if there is a driver at all that wants it.
        let any = |object: &Arc<CSIDriver>| object.spec.requires_republish == Some(true);
        if !self.objects.objects().is_some_and(|objects| objects.values().any(any)) {
            return Ok(());
        }
        let (wanted, policy) = self.wanted(pod, volume).await?;
        if policy.republish {
            self.volumes.republish(&wanted).await?;
        }
        Ok(())
    }

    async fn groups(&self, uid: &PodUid) -> Vec<i64> {
        self.volumes.groups(uid).await
    }

    async fn take_down(&self, uid: &PodUid) -> Result<(), DriverError> {
        self.tokens.forget(uid);
        self.volumes.take_down(uid).await?;
        self.grower.forget(uid);
        Ok(())
    }
}

fn is_of_driver(volume: &Volume) -> bool {
    volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some() || volume.csi.is_some()
}

fn is_read_only(pod: &Pod, volume: &Volume) -> bool {
    let inline = volume.csi.as_ref().is_some_and(|csi| csi.read_only == Some(true));
    inline || claim::name(pod, volume).is_some_and(|name| name.read_only)
}
