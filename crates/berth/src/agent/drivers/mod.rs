//! Volumes of claims and of CSI drivers: what the API server says of them, told to the drivers on the node.

mod all;
mod announce;
mod attach;
mod error;
mod found;
mod grow;
mod inuse;
mod label;
mod limits;
mod mounted;
mod renewal;
mod specs;
mod usage;
mod wanted;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use config::Loaded;
use csi::{Layout, Policy};
use kubeapi::{Client, ObjectKey, Selection, Store, Tokens};
use node::{InUse, Standing, Strain};
use registry::Handlers;
use task::events::Recorder;
use task::supervisor::Supervisor;
use telemetry::metrics::Registry;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep};
use types::corev1::Volume;
use types::k8s::api::storage::v1::CSIDriver;
use types::{Pod, PodRef, PodUid};
use volume::backoff::{self, BackOff};
use volume::{DriverError, FoundVolume, Onlooker, Problem};
use worker::Table;

pub(super) use self::all::{NodeDrivers, mounted_volumes, wake_after_commands};
use self::announce::Announcer;
use self::attach::Attaching;
use self::found::{Shown, ToMake, mounted};
use self::inuse::{Kept, UsedVolumes, used_by};
use self::limits::Limits;
use self::renewal::Renewals;
use self::specs::{is_of_driver, is_read_only, wake_waiting};
use self::wanted::Made;
use super::cluster::Cluster;
use grow::{Grower, OfClaim};
use label::Labels;
#[cfg(test)]
pub(super) use label::Metrics as LabelMetrics;

/// When it is looked again which volumes are here, after that could not be seen.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Drivers that are to be asked how much room they have.
const DOUBTS: usize = 16;

/// The drivers of a node of a cluster.
pub(super) struct ClusterDrivers {
    client: Client,
    volumes: csi::Volumes,
    /// Those that berth mounts itself.
    mounted: intree::Volumes,
    registered: csi::Drivers,
    objects: Store<CSIDriver>,
    tokens: Tokens,
    attaching: Attaching,
    grower: Grower,
    labels: Arc<Labels>,
    renewals: Arc<Renewals>,
    recorder: Recorder,
    /// Told when volumes of a pod were taken away, or may have been.
    left: Notify,
}

impl fmt::Debug for ClusterDrivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterDrivers").finish_non_exhaustive()
    }
}

/// What the drivers take of the rest of the agent, and tell it.
pub(super) struct Ties<'a> {
    pub(super) cluster: &'a Cluster,
    /// The node's name.
    pub(super) node: &'a str,
    /// The volumes that berth mounts itself.
    pub(super) mounted: intree::Volumes,
    /// How the node stands with the API server.
    pub(super) standing: watch::Receiver<Standing>,
    /// Where it goes which volumes are in use.
    pub(super) in_use: watch::Sender<Option<Arc<InUse>>>,
    /// Where it goes what is in the way of pods.
    pub(super) strain: watch::Sender<Strain>,
}

impl ClusterDrivers {
    /// The drivers that register below `--root-dir`. One look at a volume's directories may take `deadline`.
    pub(super) fn open(
        loaded: &Loaded,
        ties: Ties<'_>,
        deadline: Duration,
        metrics: &Registry,
        recorder: &Recorder,
        supervisor: &mut Supervisor,
    ) -> Arc<Self> {
        let Ties { cluster, node, mounted, standing, in_use, strain } = ties;
        let registered = csi::Drivers::new(pluginapi::csi::Metrics::register(metrics));
        let handlers = Handlers::default().with("CSIPlugin", Arc::new(registered.clone()));
        let plugins = registry::Registry::new(
            loaded.flags.root_dir.join("plugins_registry"),
            handlers,
            registry::Metrics::register(metrics),
        );
        supervisor.spawn("plugins", plugins.run());
        let announcer = Announcer {
            client: cluster.client.clone(),
            name: node.to_owned(),
            drivers: registered.clone(),
            standing: standing.clone(),
            strain,
        };
        supervisor.spawn("CSINode", announcer.run());
        let objects = Store::start(&cluster.client, Selection::default());
        let (doubts, doubted) = mpsc::channel(DOUBTS);
        let limits = Limits { drivers: registered.clone(), objects: objects.clone(), doubts: doubted };
        supervisor.spawn("limits of CSI drivers", limits.run());
        let volumes = csi::Volumes::new(csi::VolumesConfig {
            layout: Layout::new(loaded.flags.root_dir.clone()),
            node: node.to_owned(),
            drivers: registered.clone(),
            recorder: recorder.clone(),
            deadline,
        });
        let attaching = Attaching {
            node: node.to_owned(),
            by_controller: loaded.config.enable_controller_attach_detach,
            standing,
            used: UsedVolumes::new(in_use),
            doubts,
        };
        // Rounds of a pod's work come with each resync, and at other times.
        let often = loaded.config.sync_frequency.get() / 2;
        let grower = Grower::new(
            cluster.client.clone(),
            volumes.clone(),
            mounted.clone(),
            node,
            recorder.clone(),
            volume::Metrics::register(metrics),
            often,
        );
        let tokens = Tokens::new(cluster.client.clone());
        let this = Arc::new(Self {
            client: cluster.client.clone(),
            volumes,
            mounted,
            registered,
            objects,
            tokens,
            attaching,
            grower,
            labels: Arc::new(Labels::new(&loaded.gates, metrics)),
            renewals: Arc::new(Renewals::new(often)),
            recorder: recorder.clone(),
            left: Notify::new(),
        });
        supervisor.spawn("volumes in use", Arc::clone(&this).tell_used());
        this
    }

    /// Has volumes of `pod`, which its containers have, grow and be renewed where that is due. Returns at once.
    pub(super) fn look_after(self: &Arc<Self>, pod: &Arc<Pod>) {
        self.grower.look_after(pod);
        self.renew(pod);
    }

    /// The drivers that are registered, and changes of them.
    pub(super) fn registered(&self) -> watch::Receiver<csi::Table> {
        self.registered.subscribe()
    }

    /// Serves the pods in `table` and what they have left behind, each without waiting for the other.
    pub(super) async fn serve(self: Arc<Self>, mut table: watch::Receiver<Arc<Table>>) {
        // Before all pods are known, none waits for a driver, and nothing is staged for nobody.
        if table.wait_for(|table| table.complete).await.is_err() {
            return;
        }
        tokio::join!(self.wake(table), self.reclaim());
    }

    /// Wakes the workers of the pods in `table` that may wait for a driver when one comes.
    async fn wake(&self, table: watch::Receiver<Arc<Table>>) {
        let mut registered = self.registered();
        registered.mark_changed();
        while registered.changed().await.is_ok() {
            wake_waiting(&table.borrow(), is_of_driver);
        }
    }

    /// Has drivers unstage what is staged for nobody: when one comes, when a pod has left something that could not be unstaged
    /// with it, and when what failed is due.
    async fn reclaim(&self) {
        let mut registered = self.registered();
        registered.mark_changed();
        let mut failed = BackOff::default();
        let mut unlisted = false;
        loop {
            let retry = if unlisted { Some(LOOK_AGAIN) } else { failed.due_in(Instant::now()) };
            tokio::select! {
                changed = registered.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // A driver that comes is asked at once.
                    failed = BackOff::default();
                }
                () = self.left.notified() => {}
                () = sleep(retry.unwrap_or_default()), if retry.is_some() => {}
            }
            // What a pod wants is published to it, or is about to be, and then its worker says so.
            let began = Instant::now();
            let resting: BTreeSet<_> = failed.resting(began).cloned().collect();
            let reclaimed = self.volumes.reclaim(&resting).await;
            unlisted = reclaimed.is_err();
            let left = match reclaimed {
                Ok(left) => left,
                Err(error) => {
                    let error = telemetry::chain(&error);
                    tracing::warn!(error, "What is staged for nobody cannot be found");
                    continue;
                }
            };
            let is_awaited = |error: &csi::VolumeError| matches!(error, csi::VolumeError::NotRegistered(_));
            // One whose driver is gone is tried when that comes, and not because it is due.
            let fails = |of: &_| left.iter().any(|(volume, error)| volume == of && !is_awaited(error));
            failed.forget(|of| !resting.contains(of) && !fails(of));
            for (volume, error) in left {
                let is_awaited = is_awaited(&error);
                let error = telemetry::chain(&error);
                tracing::debug!(%volume, error, "A volume that no pod has is still staged");
                if !is_awaited {
                    failed.failed(volume, &error, [began, Instant::now()], backoff::RESTS);
                }
            }
            self.attaching.used.doubt();
        }
    }

    /// Tells which volumes are in use as soon as it is known, and when they leave.
    async fn tell_used(self: Arc<Self>) {
        let used = &self.attaching.used;
        // Which drivers attach, and what was said before, has to be known first.
        self.objects.synced().await;
        let (mut standing, mut objects) = (self.attaching.standing.clone(), self.objects.subscribe());
        if standing.wait_for(|standing| standing.node.is_some()).await.is_err() {
            return;
        }
        let mut kept = Kept::default();
        loop {
            objects.borrow_and_update();
            used.begin_look();
            let (here, ours) = tokio::join!(self.volumes.here(), self.mounted.here());
            let node = self.attaching.standing.borrow().node.clone();
            let ours = ours.map_err(|error| telemetry::chain(&error));
            let here = here.map_err(|error| telemetry::chain(&error)).and_then(|here| Ok((here, ours?)));
            let retry = match (here, node) {
                (Ok((here, ours)), Some(node)) => {
                    let attaches = |driver: &str| {
                        Policy::of(self.objects.get(&ObjectKey::new("", driver)).as_deref()).attach
                    };
                    let mut names = used_by(&here, &ours, self.volumes.layout(), &node, attaches);
                    let left = kept.add_to(&mut names, &node, Instant::now());
                    used.seen(names);
                    left
                }
                // The Node is made anew just now.
                (Ok(_), None) => Some(LOOK_AGAIN),
                (Err(error), _) => {
                    tracing::warn!(
                        error,
                        "It cannot be seen which volumes are on the node; they count as in use"
                    );
                    Some(LOOK_AGAIN)
                }
            };
            tokio::select! {
                () = used.doubted() => {}
                Ok(()) = objects.changed() => {}
                () = sleep(retry.unwrap_or_default()), if retry.is_some() => {}
            }
        }
    }
}

impl ClusterDrivers {
    /// Whether the volume that the pod calls `name` has to grow before a container gets it.
    pub(super) fn is_owed(&self, pod: &PodUid, name: &str) -> bool {
        self.grower.is_owed(pod, name)
    }

    /// Finds a volume of a claim or of a CSI driver. One that is there needs neither the API server nor its driver.
    pub(super) async fn find(
        &self,
        pod: &Pod,
        volume: &Volume,
        onlooker: &dyn Onlooker,
    ) -> Result<Box<dyn FoundVolume>, Problem> {
        let uid = PodRef::of(pod).uid;
        if !self.grower.is_owed(&uid, &volume.name)
            && let Some((path, mode)) = self.volumes.shown(&uid, &volume.name).await
        {
            let labelled = self.labels.are_on() && self.volumes.label(&uid, &volume.name).await.is_some();
            return Ok(Box::new(Shown(mounted(path, mode, is_read_only(pod, volume), labelled))));
        }
        let made = self.wanted(pod, volume, onlooker).await;
        onlooker.waits_for(&volume.name, None);
        Ok(match made? {
            Made::ByDriver(wanted) => Box::new(ToMake {
                volumes: self.volumes.clone(),
                grower: self.grower.clone(),
                labels: Arc::clone(&self.labels),
                renewals: Arc::clone(&self.renewals),
                of_claim: OfClaim::of(pod, volume),
                instance: self.registered.instance(&wanted.volume.driver),
                wanted: *wanted,
            }),
            Made::Here(to_mount) => to_mount,
        })
    }

    /// The name of the plugin of the volume of a CSI driver that the pod calls `name`.
    pub(super) async fn plugin(&self, pod: &PodUid, name: &str) -> Option<String> {
        let volume = self.volumes.called(pod, name).await?;
        Some(csi::qualified_name(&volume.driver))
    }

    /// How many registrations of drivers there were.
    pub(super) fn arrivals(&self) -> u64 {
        self.registered.arrivals()
    }

    /// The groups that all processes of the pod are in because of its volumes.
    pub(super) async fn groups(&self, uid: &PodUid) -> Vec<i64> {
        self.volumes.groups(uid).await
    }

    /// Takes away all volumes of CSI drivers that the pod has or may have.
    pub(super) async fn take_down(&self, uid: &PodUid, onlooker: &dyn Onlooker) -> Result<(), DriverError> {
        self.tokens.forget(uid);
        // However this ends: what was begun may be done.
        let mut told = TellAtEnd(Some(self));
        let any = self.volumes.take_down(uid, onlooker).await?;
        if !self.attaching.used.leave(uid) && !any {
            told.0 = None;
        }
        self.grower.forget(uid);
        self.renewals.forget(uid);
        Ok(())
    }
}

/// Tells when it is dropped, unless it is not to.
struct TellAtEnd<'a>(Option<&'a ClusterDrivers>);

impl Drop for TellAtEnd<'_> {
    fn drop(&mut self) {
        if let Some(drivers) = self.0 {
            drivers.left.notify_one();
            // What is gone by now need not wait for what others have left, and a driver that hangs.
            drivers.attaching.used.doubt();
        }
    }
}
