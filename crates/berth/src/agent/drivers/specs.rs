//! What pods' specs say of volumes: which are of claims and of drivers, and who has some.

use types::corev1::Volume;
use types::{Pod, pod};
use volume::claim;
use worker::Table;

/// Wakes the workers of pods that have a volume for which they may wait, as `is_waited_for` says.
pub(super) fn wake_waiting(table: &Table, is_waited_for: impl Fn(&Volume) -> bool) {
    let waits = |pod: &Pod| pod::spec(pod).volumes.iter().flatten().any(&is_waited_for);
    for entry in table.pods.values().filter(|entry| entry.target.pod().is_some_and(|pod| waits(pod))) {
        entry.cell.wake();
    }
}

/// Whether a CSI driver may make the volume.
pub(super) fn is_of_driver(volume: &Volume) -> bool {
    is_of_claim(volume) || volume.csi.is_some()
}

/// Whether the pod has it by a claim.
pub(super) fn is_of_claim(volume: &Volume) -> bool {
    volume.persistent_volume_claim.is_some() || volume.ephemeral.is_some()
}

/// Whether the pod may only read the volume, by its spec.
pub(super) fn is_read_only(pod: &Pod, volume: &Volume) -> bool {
    let by_driver = volume.csi.as_ref().is_some_and(|csi| csi.read_only == Some(true));
    by_driver || intree::is_read_only(volume) || claim::name(pod, volume).is_some_and(|name| name.read_only)
}
