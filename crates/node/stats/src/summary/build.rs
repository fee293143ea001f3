//! The summary of a reading. Pure.

use cri::FilesystemUsage;
use jiff::Timestamp;

use super::inputs::{Inputs, Storage};
use super::{ContainerStats, FsStats, NodeStats, RlimitStats, RuntimeStats, Summary, convert, pods};
use crate::disks::Finds;
use crate::needs::SystemContainer;
use crate::reading::Member;

/// Makes the summary.
pub(crate) fn build(inputs: &Inputs<'_>) -> Summary {
    let reading = inputs.reading;
    let root = reading.node.root.as_ref();
    let now = reading.moment.at;
    let whole = inputs.storage.is_some();
    let rlimit = reading.node.tasks.filter(|_| whole);
    let node = NodeStats {
        node_name: inputs.node_name.to_owned(),
        system_containers: reading
            .system
            .iter()
            .map(|(name, daemon)| system(*name, daemon, inputs))
            .collect(),
        start_time: reading.moment.boot(),
        cpu: root.and_then(|root| convert::cpu(root, inputs.rates, None)),
        memory: root.and_then(convert::memory),
        io: root.and_then(convert::io).filter(|_| whole),
        network: whole.then(|| convert::network(&reading.node.network, now)),
        fs: inputs.storage.and_then(|storage| storage.node).map(convert::fs),
        runtime: inputs.storage.and_then(|storage| runtime(storage, now)),
        rlimit: rlimit.map(|(curproc, maxpid)| RlimitStats { time: now, maxpid, curproc }),
        swap: root.and_then(convert::swap),
    };
    Summary { node, pods: reading.pods.iter().map(|pod| pods::pod(pod, inputs)).collect() }
}

fn system(name: SystemContainer, daemon: &Member, inputs: &Inputs<'_>) -> ContainerStats {
    let group = &daemon.group;
    let boot = inputs.reading.moment.boot();
    ContainerStats {
        name: name.as_str().to_owned(),
        start_time: Timestamp::try_from(group.usage.since).unwrap_or(boot).max(boot),
        cpu: convert::cpu(group, inputs.rates, None),
        memory: convert::memory(group),
        io: convert::io(group).filter(|_| inputs.storage.is_some()),
        rootfs: None,
        logs: None,
        swap: convert::swap(group),
    }
}

fn runtime(storage: Storage<'_>, now: Timestamp) -> Option<RuntimeStats> {
    let info = storage.image_fs?;
    let stats = |fs: &FilesystemUsage| runtime_fs(fs, storage.finds, now);
    let image_fs = info.images.first().map(stats);
    // A runtime that does not tell of them keeps them beside the images.
    let container_fs = info.containers.first().map(stats).or_else(|| image_fs.clone());
    Some(RuntimeStats { image_fs, container_fs })
}

/// Used is what the runtime says that it uses; the rest is about the file system.
fn runtime_fs(fs: &FilesystemUsage, finds: &Finds, now: Timestamp) -> FsStats {
    let place = finds.get(&fs.mountpoint).map_or_else(|| convert::nowhere(now), convert::room);
    FsStats {
        time: fs.measured_at.unwrap_or(place.time),
        used_bytes: Some(fs.used_bytes),
        inodes_used: fs.inodes_used,
        ..place
    }
}
