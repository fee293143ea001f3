//! How full volumes of claims are, for stats; and events of those that are not well (KEP-1432).

use std::sync::Arc;

use config::{Gate, Gates};
use csi::{Condition, Usage};
use linux::statfs::FsUsage;
use stats::{DriverUsage, ShownTo};
use task::events::Recorder;
use types::{Event, reason};

use super::drivers::ClusterDrivers;

/// Who asks drivers.
pub(super) struct DriverVolumes {
    drivers: Arc<ClusterDrivers>,
    /// Whether it is told how volumes are (`CSIVolumeHealth`).
    health: bool,
    recorder: Recorder,
}

impl DriverVolumes {
    pub(super) fn new(drivers: Arc<ClusterDrivers>, gates: &Gates, recorder: Recorder) -> Self {
        Self { drivers, health: gates.enabled(Gate::CSIVolumeHealth), recorder }
    }

    /// What the driver of a volume says of it, asked as of the first pod that has it.
    pub(super) async fn usage(&self, shown_to: &[ShownTo]) -> Option<DriverUsage> {
        for ShownTo { pod, volume } in shown_to {
            match self.drivers.usage(&pod.uid, volume).await {
                Ok(Some(usage)) => {
                    if let (true, Some(Condition::Abnormal(what))) = (self.health, &usage.condition) {
                        let message = format!("Volume {volume}: {what}");
                        let why = reason::event::VOLUME_CONDITION_ABNORMAL;
                        self.recorder.record(Event::warning(pod, why, message));
                    }
                    return told(&usage, self.health);
                }
                Ok(None) => {
                    if let Some(usage) = self.drivers.measured(&pod.uid, volume).await {
                        return Some(of_file_system(&usage));
                    }
                }
                Err(error) => {
                    let error = telemetry::chain(&error);
                    tracing::debug!(%pod, volume, error, "A driver does not say how full a volume is");
                    return None;
                }
            }
        }
        None
    }
}

fn of_file_system(usage: &FsUsage) -> DriverUsage {
    DriverUsage {
        capacity_bytes: usage.capacity_bytes,
        available_bytes: usage.available_bytes,
        used_bytes: usage.used_bytes,
        inodes: usage.inodes,
        inodes_free: usage.inodes_free,
        inodes_used: usage.inodes.saturating_sub(usage.inodes_free),
        abnormal: None,
    }
}

/// What stats are told of what a driver said; nothing of one that said nothing that anybody wants to know.
fn told(usage: &Usage, health: bool) -> Option<DriverUsage> {
    let abnormal = usage.condition.as_ref().map(|condition| *condition != Condition::Well);
    let abnormal = abnormal.filter(|_| health);
    if abnormal.is_none() && usage.bytes.is_none() && usage.inodes.is_none() {
        return None;
    }
    let (bytes, inodes) = (usage.bytes.unwrap_or_default(), usage.inodes.unwrap_or_default());
    Some(DriverUsage {
        capacity_bytes: bytes.total,
        available_bytes: bytes.available,
        used_bytes: bytes.used,
        inodes: inodes.total,
        inodes_free: inodes.available,
        inodes_used: inodes.used,
        abnormal,
    })
}
