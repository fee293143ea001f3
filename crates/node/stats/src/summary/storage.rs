//! The room that pods take on disks.

use std::path::Path;

use cri::v1;
use jiff::Timestamp;
use linux::diskuse::DiskUse;

use super::inputs::Storage;
use super::sum::sum;
use super::{ContainerStats, FsStats, VolumeStats, convert};
use crate::disks::Found;
use crate::logs::LogUse;
use crate::needs::{PodView, Room};
use crate::told::Key;

/// A container's writable layer, as the runtime tells it.
pub(super) fn rootfs(told: &v1::ContainerStats, storage: Storage<'_>, now: Timestamp) -> Option<FsStats> {
    let layer = told.writable_layer.as_ref()?;
    let mount_point = layer.fs_id.as_ref().map(|id| Path::new(&id.mountpoint));
    let found = mount_point.and_then(|path| storage.finds.get(path));
    let place = found.map_or_else(|| convert::nowhere(now), convert::room);
    Some(FsStats {
        time: convert::time(layer.timestamp, now),
        used_bytes: layer.used_bytes.map(|bytes| bytes.value),
        inodes_used: layer.inodes_used.map(|inodes| inodes.value),
        ..place
    })
}

/// Something on the file system of the node, as logs are.
pub(super) fn on_node(used: DiskUse, storage: Storage<'_>, now: Timestamp) -> FsStats {
    let place = storage.node.map_or_else(|| convert::nowhere(now), convert::room);
    FsStats { time: now, used_bytes: Some(used.bytes), inodes_used: Some(used.inodes), ..place }
}

/// The volumes of a pod that could be measured.
pub(super) fn volumes(pod: &PodView, storage: Storage<'_>) -> Vec<VolumeStats> {
    let stats = pod.volumes.iter().filter_map(|volume| {
        let name = volume.name.clone();
        match &volume.room {
            Room::Directory { path, .. } => {
                let fs = volume_fs(storage.finds.get(path)?);
                Some(VolumeStats { fs, name, claim: None, health: None })
            }
            Room::Driver { claim } => {
                let key = Key::of(&pod.observed.pod, &name, claim.as_deref());
                Some(storage.drivers.get(&key)?.stats(name, &key))
            }
        }
    });
    stats.collect()
}

fn volume_fs(found: &Found) -> FsStats {
    match found.below {
        Some(used) => {
            FsStats { used_bytes: Some(used.bytes), inodes_used: Some(used.inodes), ..convert::room(found) }
        }
        None => convert::fs(found),
    }
}

/// What counts towards a pod's limit of ephemeral storage: writable layers, logs, and volumes that live as long as it.
pub(super) fn ephemeral(
    pod: &PodView,
    containers: &[ContainerStats],
    volumes: &[VolumeStats],
    logs: Option<&LogUse>,
    storage: Storage<'_>,
) -> Option<FsStats> {
    let place = convert::room(storage.node?);
    let layers = containers.iter().flat_map(|container| [&container.rootfs, &container.logs]).flatten();
    let is_ephemeral = |room: &Room| matches!(room, Room::Directory { ephemeral: true, .. });
    let counts =
        |name: &str| pod.volumes.iter().any(|volume| is_ephemeral(&volume.room) && volume.name == name);
    let volumes = volumes.iter().filter(|volume| counts(&volume.name)).map(|volume| &volume.fs);
    let parts: Vec<&FsStats> = layers.chain(volumes).collect();
    let others = logs.into_iter().flat_map(|logs| [logs.others, logs.etc_hosts]).flatten();
    let (bytes, inodes): (Vec<_>, Vec<_>) = others.map(|used| (Some(used.bytes), Some(used.inodes))).unzip();
    Some(FsStats {
        time: parts.iter().map(|part| part.time).fold(place.time, Timestamp::max),
        used_bytes: sum(parts.iter().map(|part| part.used_bytes).chain(bytes)),
        inodes_used: sum(parts.iter().map(|part| part.inodes_used).chain(inodes)),
        ..place
    })
}
