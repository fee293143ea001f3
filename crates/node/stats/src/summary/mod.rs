//! The Summary API: the types of Kubernetes' `stats/v1alpha1`, and how they are made of a reading.
//!
//! What is not known is left out. Sizes are in bytes, times of day in RFC 3339 with whole seconds.

mod build;
mod convert;
mod inputs;
mod pods;
mod storage;
mod sum;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

pub(crate) use build::build;
pub(crate) use inputs::{Inputs, Storage};

/// What the node and its pods use.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Summary {
    /// The node.
    pub node: NodeStats,
    /// Its pods, by namespace and name; those with at least one container that runs.
    pub pods: Vec<PodStats>,
}

/// What the node uses.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStats {
    /// Its name.
    pub node_name: String,
    /// Daemons that are measured by themselves, and all pods together: `kubelet`, `runtime`, `misc`, `pods`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub system_containers: Vec<ContainerStats>,
    /// When the machine booted.
    #[serde(serialize_with = "seconds")]
    pub start_time: Timestamp,
    /// CPU time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuStats>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStats>,
    /// Pressure on disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io: Option<IoStats>,
    /// Its own network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkStats>,
    /// The file system of the agent's root directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fs: Option<FsStats>,
    /// The runtime's file systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<RuntimeStats>,
    /// Processes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rlimit: Option<RlimitStats>,
    /// Swap space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<SwapStats>,
}

/// Where the runtime keeps things.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeStats {
    /// The file system of images; `usedBytes` is what images take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_fs: Option<FsStats>,
    /// The file system of writable layers; the same unless they are kept apart (KEP-4191).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_fs: Option<FsStats>,
}

/// How many processes there are on the machine, threads included.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RlimitStats {
    /// When they were counted.
    #[serde(serialize_with = "seconds")]
    pub time: Timestamp,
    /// How many there may be.
    pub maxpid: u64,
    /// How many there are.
    pub curproc: u64,
}

/// What a pod uses.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStats {
    /// Which pod.
    pub pod_ref: PodReference,
    /// When its sandbox was created.
    #[serde(serialize_with = "seconds")]
    pub start_time: Timestamp,
    /// Its containers that run, in the order of their names.
    pub containers: Vec<ContainerStats>,
    /// CPU time of the pod's cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuStats>,
    /// Memory of the pod's cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStats>,
    /// Pressure on disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io: Option<IoStats>,
    /// Its network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkStats>,
    /// Its volumes.
    #[serde(rename = "volume", skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeStats>,
    /// What counts towards the limit of ephemeral storage.
    #[serde(rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<FsStats>,
    /// Its processes.
    #[serde(rename = "process_stats", skip_serializing_if = "Option::is_none")]
    pub process_stats: Option<ProcessStats>,
    /// Swap space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<SwapStats>,
}

/// Which pod.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PodReference {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its UID in the runtime.
    pub uid: String,
}

/// What a container, or a daemon, uses.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStats {
    /// Its name in the pod's spec.
    pub name: String,
    /// When it was created.
    #[serde(serialize_with = "seconds")]
    pub start_time: Timestamp,
    /// CPU time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuStats>,
    /// Memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryStats>,
    /// Pressure on disks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io: Option<IoStats>,
    /// Its writable layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rootfs: Option<FsStats>,
    /// Its logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logs: Option<FsStats>,
    /// Swap space.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<SwapStats>,
}

/// CPU time.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuStats {
    /// When it was read.
    #[serde(serialize_with = "seconds")]
    pub time: Timestamp,
    /// Billionths of a core, over the time since an earlier reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_nano_cores: Option<u64>,
    /// All of it, in ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_core_nano_seconds: Option<u64>,
    /// For how long tasks waited for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<PsiStats>,
}

/// Memory.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryStats {
    /// When it was read.
    #[serde(serialize_with = "seconds")]
    pub time: Timestamp,
    /// What is left of the limit, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_bytes: Option<u64>,
    /// All of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_bytes: Option<u64>,
    /// That without file pages that were not used lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_set_bytes: Option<u64>,
    /// Anonymous memory.
    #[serde(rename = "rssBytes", skip_serializing_if = "Option::is_none")]
    pub rss_bytes: Option<u64>,
    /// Page faults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_faults: Option<u64>,
    /// Those for which something had to be read from a disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub major_page_faults: Option<u64>,
    /// For how long tasks waited for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psi: Option<PsiStats>,
}

/// Pressure on disks.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct IoStats {
    /// When it was read.
    #[serde(serialize_with = "seconds")]
    pub time: Timestamp,
    /// For how long tasks waited for disks.
    pub psi: PsiStats,
}

/// Pressure on one resource.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct PsiStats {
    /// All tasks waited at once.
    pub full: PsiData,
    /// At least one task waited.
    pub some: PsiData,
}

/// For how long tasks waited.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct PsiData {
    /// All of the time, in µs.
    pub total: u64,
    /// Share of the last 10 s, in percent.
    pub avg10: f64,
    /// Share of the last 60 s, in percent.
    pub avg60: f64,
    /// Share of the last 300 s, in percent.
    pub avg300: f64,
}

/// Swap space.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SwapStats {
    /// When it was read.
    #[serde(serialize_with = "seconds")]
    pub time: Timestamp,
    /// What is left of the limit, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_available_bytes: Option<u64>,
    /// What is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap_usage_bytes: Option<u64>,
}

/// A network.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct NetworkStats {
    /// When it was read.
    #[serde(serialize_with = "seconds")]
    pub time: Timestamp,
    /// The interface `eth0` once more, if there is one.
    #[serde(flatten)]
    pub default: InterfaceStats,
    /// All interfaces.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<InterfaceStats>,
}

/// A network interface.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceStats {
    /// Its name; empty for none.
    pub name: String,
    /// Bytes that it received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_bytes: Option<u64>,
    /// Damaged packets that it received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_errors: Option<u64>,
    /// Bytes that it sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_bytes: Option<u64>,
    /// Packets that it failed to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_errors: Option<u64>,
}

/// Room on a file system.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FsStats {
    /// When it was measured.
    #[serde(serialize_with = "seconds")]
    pub time: Timestamp,
    /// What can still be written on the file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_bytes: Option<u64>,
    /// Its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<u64>,
    /// What is used by what this is about: a volume, a layer, logs, or the whole file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
    /// Inodes that are still free.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes_free: Option<u64>,
    /// Inodes that there can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes: Option<u64>,
    /// Inodes used by what this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inodes_used: Option<u64>,
}

/// A volume.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeStats {
    /// Its room.
    #[serde(flatten)]
    pub fs: FsStats,
    /// Its name in the pod's spec.
    pub name: String,
    /// The claim that it was made for, if it was.
    #[serde(rename = "pvcRef", skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimReference>,
    /// Whether something is wrong with it, if its driver says so (KEP-1432).
    #[serde(rename = "volumeHealthStats", skip_serializing_if = "Option::is_none")]
    pub health: Option<VolumeHealth>,
}

/// How a volume is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct VolumeHealth {
    /// Whether something is wrong with it.
    pub abnormal: bool,
}

/// Which claim.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct ClaimReference {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// Processes of a pod.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ProcessStats {
    /// How many there are.
    pub process_count: u64,
}

/// As Kubernetes' `Time` is written.
fn seconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.strftime("%Y-%m-%dT%H:%M:%SZ"))
}
