//! The runtime state of one pod as berth sees it: what `pleg` publishes and `sync` and `status` decide from.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::{ContainerId, PodRef, SandboxId};

/// Everything the runtime has of one pod. Sandboxes and containers are ordered from the newest to the oldest.
#[derive(Clone, PartialEq, Debug)]
pub struct ObservedPod {
    /// Whose state it is (from the runtime's labels).
    pub pod: PodRef,
    /// Sandboxes, newest first.
    pub sandboxes: Vec<ObservedSandbox>,
    /// Containers, newest first, of all sandboxes.
    pub containers: Vec<ObservedContainer>,
}

impl ObservedPod {
    /// The state of a pod of which the runtime has nothing.
    #[must_use]
    pub fn absent(pod: PodRef) -> Self {
        Self { pod, sandboxes: Vec::new(), containers: Vec::new() }
    }

    /// Whether the runtime has neither sandbox nor container of it.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        self.sandboxes.is_empty() && self.containers.is_empty()
    }

    /// The newest instance of the container `name`.
    #[must_use]
    pub fn newest(&self, name: &str) -> Option<&ObservedContainer> {
        self.containers.iter().find(|container| &*container.name == name)
    }

    /// All instances of the container `name`, newest first.
    pub fn instances<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a ObservedContainer> {
        self.containers.iter().filter(move |container| &*container.name == name)
    }

    /// Containers that run, or of which the runtime cannot tell.
    pub fn live(&self) -> impl Iterator<Item = &ObservedContainer> {
        self.containers.iter().filter(|container| container.state.may_run())
    }

    /// IPs of the newest sandbox that is ready, in the runtime's order.
    #[must_use]
    pub fn ips(&self) -> &[IpAddr] {
        self.sandboxes.iter().find(|sandbox| sandbox.state == SandboxState::Ready).map_or(&[], |s| &s.ips)
    }
}

/// `PodSandboxState` of CRI.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SandboxState {
    /// It holds the pod's namespaces.
    Ready,
    /// It is stopped, or broken.
    NotReady,
}

/// Where a namespace of a sandbox is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NamespaceMode {
    /// Shared by the containers of the pod.
    Pod,
    /// One for each container.
    Container,
    /// The node's own.
    Node,
    /// That of another container of the pod.
    Target,
}

/// One pod sandbox.
#[derive(Clone, PartialEq, Debug)]
pub struct ObservedSandbox {
    /// The runtime's id.
    pub id: SandboxId,
    /// How many sandboxes the pod had before this one.
    pub attempt: u32,
    /// Ready or not.
    pub state: SandboxState,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its IPs, the primary one first. Empty for host network, and while the network is set up.
    pub ips: Vec<IpAddr>,
    /// Where its network namespace is; `None` when only listed, not inspected.
    pub network: Option<NamespaceMode>,
    /// The RuntimeClass handler it runs under; empty for the runtime's default.
    pub runtime_handler: Arc<str>,
}

/// State of a container (`ContainerState` of CRI) with what belongs to each.
#[derive(Clone, PartialEq, Debug)]
pub enum ContainerState {
    /// Created, never started.
    Created,
    /// Its process runs.
    Running {
        /// When its process was started.
        started_at: Timestamp,
    },
    /// Its process has ended, or was never there.
    Exited(Exit),
    /// The runtime does not know.
    Unknown,
}

impl ContainerState {
    /// Whether a process of it may be alive.
    #[must_use]
    pub fn may_run(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Unknown)
    }

    /// Whether its process is known to be alive.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn exit(&self) -> Option<&Exit> {
        match self {
            Self::Exited(exit) => Some(exit),
            _ => None,
        }
    }
}

/// How a container ended.
#[derive(Clone, PartialEq, Debug)]
pub struct Exit {
    /// The process's exit code; 128 + n when signal n killed it.
    pub code: i32,
    /// The runtime's reason, such as `Completed`, `Error` or `OOMKilled`.
    pub reason: String,
    /// The termination message, or the runtime's own words.
    pub message: String,
    /// When it was started; `None` if it never was.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl Exit {
    /// Whether the container has just been killed (at `now`), and the runtime may not have heard yet that memory ran out:
    /// the kernel tells of that apart from the end of the process.
    #[must_use]
    pub fn may_be_out_of_memory(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.finished_at);
        self.code == KILLED && self.reason == "Error" && age < SignedDuration::from_secs(1)
    }
}

/// The exit code of a process that got SIGKILL.
const KILLED: i32 = 128 + 9;

/// One container of a pod, dead or alive.
#[derive(Clone, PartialEq, Debug)]
pub struct ObservedContainer {
    /// The runtime's id.
    pub id: ContainerId,
    /// Its name in the pod's spec (from the label).
    pub name: Arc<str>,
    /// The sandbox it lives in.
    pub sandbox: SandboxId,
    /// What it does.
    pub state: ContainerState,
    /// When it was created.
    pub created_at: Timestamp,
    /// The image as named in the spec.
    pub image: String,
    /// The image's reference as the runtime gave it (name with digest, or id): `status.imageID`.
    pub image_ref: String,
    /// The image's id in the runtime's store (`sha256:…`).
    pub image_id: String,
    /// The hash of name and image that it was started from (annotation); empty on a container of somebody else.
    pub hash: String,
    /// How often it had been restarted before (annotation).
    pub restart_count: u32,
    /// The container's log file on the node; empty when only listed.
    pub log_path: String,
    /// Mounts as the runtime has them: `(container path, recursive read-only)`, for `status.volumeMounts`.
    pub mounts: Vec<ObservedMount>,
    /// The user of its first process, where the runtime says.
    pub user: Option<ObservedUser>,
    /// Resources in force, where the runtime says.
    pub resources: Option<ObservedResources>,
    /// All annotations that berth or another kubelet put on it.
    pub annotations: Arc<BTreeMap<String, String>>,
}

impl ObservedContainer {
    /// Whether the runtime was asked for its details; a list does not have them.
    #[must_use]
    pub fn is_inspected(&self) -> bool {
        !self.log_path.is_empty()
    }
}

/// A mount of a running container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObservedMount {
    /// Where the container sees it.
    pub container_path: String,
    /// What the node has there.
    pub host_path: String,
    /// Whether it is read-only.
    pub readonly: bool,
    /// Whether it is read-only down to the mounts below it.
    pub recursive_read_only: bool,
}

/// User and groups of a container's first process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObservedUser {
    /// User id.
    pub uid: i64,
    /// Primary group id.
    pub gid: i64,
    /// Supplementary groups.
    pub supplemental_groups: Vec<i64>,
}

/// Resources that the runtime enforces for a container, in the kernel's units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ObservedResources {
    /// CPU weight on the v1 scale.
    pub cpu_shares: i64,
    /// CFS quota in µs per period; 0 or less: none.
    pub cpu_quota: i64,
    /// CFS period in µs.
    pub cpu_period: i64,
    /// Memory limit in bytes; 0: none.
    pub memory_limit: i64,
}
