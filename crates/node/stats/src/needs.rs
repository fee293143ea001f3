//! What stats need of the rest of the agent.

use std::path::PathBuf;
use std::sync::Arc;

use cri::{CriError, ImageFsInfo, v1};
use linux::projectquota::ProjectId;
use types::{ObservedPod, PodRef};

/// Who knows the pods, and the runtime. It is asked at each scrape, and at no other time.
pub trait Needs: Send + Sync + 'static {
    /// The pods that the runtime has anything of.
    fn pods(&self) -> Vec<PodView>;

    /// What is known of the node now. The cgroups are known once the runtime has said who manages them.
    fn node(&self) -> NodeView;

    /// What the containers that run use, as the runtime has it (CRI: `ListContainerStats`).
    fn container_stats(&self) -> impl Future<Output = Result<Vec<v1::ContainerStats>, CriError>> + Send;

    /// Where the runtime keeps images and writable layers (CRI: `ImageFsInfo`).
    fn image_fs(&self) -> impl Future<Output = Result<ImageFsInfo, CriError>> + Send;

    /// What the driver of a volume tells of it. The pods in `shown_to` have the same volume, each under a name of its own:
    /// one that it is shown to is enough. None if it is shown to none of them, or its driver does not tell. Has a deadline
    /// of its own.
    fn driver_usage(&self, shown_to: &[ShownTo]) -> impl Future<Output = Option<DriverUsage>> + Send;
}

/// One pod.
#[derive(Clone, Debug)]
pub struct PodView {
    /// What the runtime has of it, and who it is.
    pub observed: Arc<ObservedPod>,
    /// The path of its cgroup below the mount points; none where pods have no cgroups (`cgroupsPerQOS: false`).
    pub cgroup: Option<String>,
    /// Its directory, `<root>/pods/<uid>`.
    pub dir: PathBuf,
    /// The directory of its logs, with one directory for each container.
    pub logs: PathBuf,
    /// Its volumes, without those that are not measured: `hostPath` and images.
    pub volumes: Vec<VolumeView>,
}

/// One volume of a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VolumeView {
    /// Its name in the pod's spec.
    pub name: String,
    /// Who knows how full it is.
    pub room: Room,
}

/// Who knows how full a volume is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Room {
    /// Whoever looks at its directory.
    Directory {
        /// Where it is on the node.
        path: PathBuf,
        /// Whether it counts towards the pod's ephemeral storage: it is an `emptyDir` on a disk, or a `configMap`.
        ephemeral: bool,
        /// As what its file system counts it; none for one that has to be looked through.
        project: Option<ProjectId>,
    },
    /// The driver that made it.
    Driver {
        /// The claim that it was made for, in the pod's namespace; none for one that is in the pod's spec.
        claim: Option<String>,
    },
}

/// A pod that a driver shows a volume to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShownTo {
    /// The pod's name and UID.
    pub pod: PodRef,
    /// What the volume is called in its spec.
    pub volume: String,
}

/// What a driver tells of a volume. What it does not tell is 0, as other kubelets have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DriverUsage {
    /// How many bytes there are.
    pub capacity_bytes: u64,
    /// How many of them are left.
    pub available_bytes: u64,
    /// How many are used.
    pub used_bytes: u64,
    /// How many inodes there are.
    pub inodes: u64,
    /// How many of them are left.
    pub inodes_free: u64,
    /// How many are used.
    pub inodes_used: u64,
    /// Whether something is wrong with the volume; none of drivers that do not say (KEP-1432).
    pub abnormal: Option<bool>,
}

/// The node, apart from its pods.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeView {
    /// The cgroup of all pods, such as `/kubepods`.
    pub pods: Option<String>,
    /// The cgroups of the QoS classes below it.
    pub classes: Vec<String>,
    /// Those of daemons that are measured by themselves.
    pub system: Vec<(SystemContainer, String)>,
    /// The image of sandboxes, if the runtime says.
    pub sandbox_image: Option<String>,
    /// The container that sandboxes count as: `POD` for runtimes that say so to their own tools (CRI-O), else nothing
    /// (containerd).
    pub sandbox_container: &'static str,
}

/// Daemons that are measured by themselves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum SystemContainer {
    /// This agent (`kubeletCgroups`).
    Kubelet,
    /// The container runtime (`--runtime-cgroups`).
    Runtime,
    /// Everything else (`systemCgroups`).
    Misc,
    /// All pods.
    Pods,
}

impl SystemContainer {
    /// Its name in the summary.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kubelet => "kubelet",
            Self::Runtime => "runtime",
            Self::Misc => "misc",
            Self::Pods => "pods",
        }
    }
}
