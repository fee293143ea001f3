//! The cgroups of the QoS classes: what they weigh follows from the pods that there are.

use std::collections::BTreeSet;
use std::sync::Arc;

use cgroup::PodCgroups;
use sync::PodCgroup;
use tokio::sync::watch;
use types::{Pod, PodUid};
use worker::Table;

/// The cgroups of pods, once it is known whether there are any; `None` if there are none.
pub(super) async fn cgroups_of(mut seen: watch::Receiver<PodCgroup>) -> Option<PodCgroups> {
    match seen.wait_for(|cgroups| !matches!(cgroups, PodCgroup::Awaited(_))).await.as_deref() {
        Ok(PodCgroup::On(cgroups)) => Some(cgroups.clone()),
        _ => None,
    }
}

/// Keeps the weights, until the table is dropped; for ever if there are no cgroups. A task of its own: nothing that hangs while
/// other things are tidied up may hold up what pods get of the CPU.
pub(super) async fn run(mut table: watch::Receiver<Arc<Table>>, cgroups: watch::Receiver<PodCgroup>) {
    let Some(cgroups) = cgroups_of(cgroups).await else { return std::future::pending().await };
    let mut known: Option<BTreeSet<PodUid>> = None;
    loop {
        let latest = table.borrow_and_update().clone();
        if latest.complete {
            let now = latest.pods.keys().cloned().collect();
            if known.as_ref() != Some(&now) {
                let pods: Vec<Arc<Pod>> =
                    latest.pods.values().filter_map(|entry| entry.target.pod().cloned()).collect();
                if let Err(error) = cgroups.update_qos(&pods).await {
                    tracing::warn!(error = %telemetry::chain(&error), "The cgroups of the QoS classes could not be updated");
                }
                known = Some(now);
            }
        }
        if table.changed().await.is_err() {
            return;
        }
    }
}
