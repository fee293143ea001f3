//! What belongs to no pod any more: cgroups, directories, and projects of volumes. Looked for when the table of pods is
//! first complete, whenever a pod has left it, and when a CSI driver comes, without which some directories could not be
//! removed; and again some time after something could not be removed.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use cgroup::PodCgroups;
use futures::future::join_all;
use status::StatusStore;
use sync::{PodCgroup, UserNamespaces};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use types::{PodRef, PodUid};
use volume::Volumes;
use worker::Table;

use super::events::EventLog;
use super::metrics::Metrics;
use super::qosclasses;

/// How soon what could not be removed is tried again at the earliest.
const AGAIN: Duration = Duration::from_secs(10);

/// What housekeeping works with.
pub(super) struct Housekeeping {
    pub(super) table: watch::Receiver<Arc<Table>>,
    pub(super) runtime: watch::Receiver<Option<Arc<BTreeSet<PodRef>>>>,
    pub(super) cgroups: watch::Receiver<PodCgroup>,
    pub(super) volumes: Volumes,
    pub(super) userns: Arc<UserNamespaces>,
    /// The CSI drivers; none without an API server.
    pub(super) drivers: Option<watch::Receiver<csi::Table>>,
    pub(super) statuses: StatusStore,
    pub(super) events: EventLog,
    pub(super) metrics: Metrics,
}

impl Housekeeping {
    /// Keeps house until dropped.
    pub(super) async fn run(mut self) {
        // Volumes need not be looked through until all pods are known.
        self.settle_quotas().await;
        let cgroups = qosclasses::cgroups_of(self.cgroups.clone()).await;
        let mut known = None;
        let mut again = false;
        let mut retry = None;
        loop {
            let table = self.table.borrow_and_update().clone();
            if table.complete {
                let now: BTreeSet<PodUid> = table.pods.keys().cloned().collect();
                let left = known.as_ref().is_none_or(|before: &BTreeSet<PodUid>| !before.is_subset(&now));
                if left || again {
                    retry = self.remove_orphans(cgroups.as_ref()).await.map(|rest| Instant::now() + rest);
                }
                known = Some(now);
            }
            tokio::select! {
                changed = self.table.changed() => match changed {
                    Ok(()) => again = false,
                    Err(_) => return,
                },
                () = changed(&mut self.drivers) => again = true,
                () = sleep_until(retry.unwrap_or_else(Instant::now)), if retry.is_some() => again = true,
            }
        }
    }

    /// Whether the pod is in the table or in the runtime now. A pod is in the table before its worker makes anything,
    /// so that what was found first and is not known then belongs to nobody.
    fn is_known(&self, uid: &PodUid) -> bool {
        let in_runtime =
            || self.runtime.borrow().iter().flat_map(|pods| pods.iter()).any(|pod| pod.uid == *uid);
        self.table.borrow().pods.contains_key(uid) || in_runtime()
    }

    /// Has a pod that comes back wait until what is left of it is removed; `None` if it is known.
    fn hold(&self, uid: &PodUid) -> Option<volume::HeldOrphan> {
        self.volumes.hold_orphan(uid, || self.is_known(uid))
    }

    /// All at once: one that hangs holds up no other. Returns when to try again what could not be removed.
    async fn remove_orphans(&self, cgroups: Option<&PodCgroups>) -> Option<Duration> {
        let mut retry = Vec::new();
        self.events.retain(|uid| self.is_known(uid));
        if let Some(cgroups) = cgroups {
            match cgroups.list().await {
                Ok(found) => {
                    let all = found.into_iter().map(|orphan| self.remove_cgroup(cgroups, orphan));
                    retry.extend(join_all(all).await.into_iter().flatten());
                }
                Err(error) => {
                    tracing::warn!(error = %telemetry::chain(&error), "The cgroups of pods could not be listed");
                    retry.push(AGAIN);
                }
            }
        }
        match self.volumes.orphans(HashSet::new()).await {
            Ok(orphans) => {
                let removed = join_all(orphans.iter().map(|uid| self.remove_directory(uid))).await;
                let (cleaned, failed): (Vec<_>, Vec<_>) =
                    removed.into_iter().flatten().partition(Result::is_ok);
                self.metrics.orphan_volumes.set(&[], cleaned.len() as f64);
                self.metrics.orphan_volume_errors.set(&[], failed.len() as f64);
                retry.extend(failed.into_iter().filter_map(Result::err));
            }
            Err(error) => {
                tracing::warn!(error = %telemetry::chain(&error), "The directories of pods could not be listed");
                retry.push(AGAIN);
            }
        }
        self.settle_quotas().await;
        retry.into_iter().min()
    }

    /// Returns when to try again if it could not be removed.
    async fn remove_cgroup(&self, cgroups: &PodCgroups, orphan: cgroup::PodCgroup) -> Option<Duration> {
        let _held = self.hold(&orphan.uid)?;
        tracing::info!(cgroup = %orphan.name, uid = %orphan.uid, "Removing the cgroup of a pod that is gone");
        let error = cgroups.remove_pod(&orphan.uid).await.err()?;
        tracing::warn!(cgroup = %orphan.name, error = %telemetry::chain(&error), "An orphaned cgroup could not be removed");
        Some(AGAIN)
    }

    /// The error says when to try again; nothing if the pod is known.
    async fn remove_directory(&self, uid: &PodUid) -> Option<Result<(), Duration>> {
        let _held = self.hold(uid)?;
        tracing::info!(%uid, "Removing the directory of a pod that is gone");
        self.statuses.remove(uid);
        let removed = self.volumes.remove_pod_dir(uid, &()).await;
        Some(match removed {
            Ok(()) => {
                self.userns.release(uid);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(%uid, error = %telemetry::chain(&error), "An orphaned pod directory could not be removed");
                Err(error.again_in.max(AGAIN))
            }
        })
    }

    async fn settle_quotas(&self) {
        if let Err(error) = self.volumes.settle_quotas().await {
            tracing::warn!(error = %telemetry::chain(&error), "The project quotas of volumes could not be looked at");
        }
    }
}

/// Waits until another driver is registered, or one no longer.
async fn changed(drivers: &mut Option<watch::Receiver<csi::Table>>) {
    let told = match drivers {
        Some(drivers) => drivers.changed().await.is_ok(),
        None => false,
    };
    if !told {
        std::future::pending::<()>().await;
    }
}
