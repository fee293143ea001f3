//! One look at everything that is counted: what the other modules make their answers of.

use std::collections::BTreeMap;

use cgroup::Usage;
use cgroup::usage::Detail;
use linux::diskstats::Disk;
use linux::mountinfo::MountTable;
use linux::netdev::Interface;
use linux::openfiles::OpenFiles;
use types::ObservedContainer;

use crate::moment::Moment;
use crate::needs::{NodeView, PodView, SystemContainer};

/// What a reading is for, which decides what is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// `/metrics/resource`: CPU time, memory and swap.
    Resource,
    /// The summary with `only_cpu_and_memory`: pressure as well.
    CpuAndMemory,
    /// The whole summary: networks and processes as well.
    Summary,
    /// `/metrics/cadvisor`: everything that the kernel counts.
    Cadvisor,
}

impl Kind {
    /// Whether a reading of this kind has all that one of kind `other` would have.
    pub(crate) fn covers(self, other: Self) -> bool {
        self == other
            || other == Self::Resource
            || (other == Self::CpuAndMemory && matches!(self, Self::Summary | Self::Cadvisor))
    }

    /// How much is read of each cgroup.
    pub(crate) fn detail(self) -> Detail {
        match self {
            Self::Resource => Detail::Basic,
            Self::CpuAndMemory | Self::Summary => Detail::Pressure,
            Self::Cadvisor => Detail::Full,
        }
    }

    /// Whether processes and networks are looked at.
    pub(crate) fn has_processes(self) -> bool {
        matches!(self, Self::Summary | Self::Cadvisor)
    }
}

/// One cgroup.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// Its path below the mount points.
    pub(crate) path: String,
    /// When it was read.
    pub(crate) moment: Moment,
    pub(crate) usage: Usage,
}

/// The processes of a cgroup.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Processes {
    pub(crate) count: u64,
    /// What they have open, all together; only for [`Kind::Cadvisor`].
    pub(crate) open: Option<OpenFiles>,
    /// How many files the first of them may have open; -1 for no limit.
    pub(crate) file_limit: Option<i64>,
}

/// A cgroup with processes in it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) group: Measured,
    pub(crate) processes: Option<Processes>,
}

/// One container that runs.
#[derive(Clone, Debug)]
pub(crate) struct ContainerReading {
    /// Its place in [`types::ObservedPod::containers`].
    index: usize,
    /// Its cgroup; none if the runtime keeps it out of sight, as those with virtual machines do.
    pub(crate) member: Option<Member>,
}

/// One pod with at least one container that runs.
#[derive(Clone, Debug)]
pub(crate) struct PodReading {
    pub(crate) view: PodView,
    pub(crate) group: Option<Measured>,
    /// The cgroup of its sandbox, if that has one.
    pub(crate) sandbox: Option<Member>,
    pub(crate) containers: Vec<ContainerReading>,
    /// The interfaces of its network; none where no process of it is in sight.
    pub(crate) network: Option<Vec<Interface>>,
}

impl PodReading {
    /// A pod of which nothing has been read yet, if one of its containers runs. Of several instances of a container only
    /// the newest one counts.
    pub(crate) fn of(view: PodView) -> Option<Self> {
        let mut names: Vec<&str> = Vec::new();
        let mut containers = Vec::new();
        for (index, container) in view.observed.containers.iter().enumerate() {
            if container.state.is_running() && !names.contains(&&*container.name) {
                names.push(&container.name);
                containers.push(ContainerReading { index, member: None });
            }
        }
        if containers.is_empty() {
            return None;
        }
        Some(Self { view, group: None, sandbox: None, containers, network: None })
    }

    /// Its containers, with what the runtime has of them.
    pub(crate) fn containers(&self) -> impl Iterator<Item = (&ObservedContainer, &ContainerReading)> {
        self.containers.iter().map(|reading| (&self.view.observed.containers[reading.index], reading))
    }

    /// The same, to fill in.
    pub(crate) fn containers_mut(
        &mut self,
    ) -> impl Iterator<Item = (&ObservedContainer, &mut ContainerReading)> {
        let observed = &self.view.observed.containers;
        self.containers.iter_mut().map(|reading| (&observed[reading.index], reading))
    }
}

/// The machine as a whole.
#[derive(Clone, Debug)]
pub(crate) struct NodeReading {
    /// The root of all cgroups, with what the kernel tells elsewhere where it does not tell there.
    pub(crate) root: Option<Measured>,
    pub(crate) network: Vec<Interface>,
    /// Processes and threads: how many there are, and how many there may be.
    pub(crate) tasks: Option<(u64, u64)>,
    /// What block devices did; only for [`Kind::Cadvisor`].
    pub(crate) disks: Vec<Disk>,
    /// What is mounted; not for readings that tell of no file systems.
    pub(crate) mounts: MountTable,
}

/// Everything.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) moment: Moment,
    pub(crate) view: NodeView,
    pub(crate) node: NodeReading,
    /// Daemons, and all pods together.
    pub(crate) system: BTreeMap<SystemContainer, Member>,
    /// QoS classes; only for [`Kind::Cadvisor`].
    pub(crate) classes: Vec<Measured>,
    /// By namespace and name.
    pub(crate) pods: Vec<PodReading>,
}

impl Reading {
    /// All cgroups whose use of CPU time is told as a rate.
    pub(crate) fn rated(&self) -> impl Iterator<Item = &Measured> {
        let system = self.system.values().map(|member| &member.group);
        let pods = self.pods.iter().flat_map(|pod| {
            let containers = pod.containers.iter().filter_map(|container| container.member.as_ref());
            pod.group.iter().chain(containers.map(|member| &member.group))
        });
        self.node.root.iter().chain(system).chain(pods)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_covers_what() {
        use Kind::{Cadvisor, CpuAndMemory, Resource, Summary};
        for (kind, covered) in [
            (Resource, &[Resource][..]),
            (CpuAndMemory, &[Resource, CpuAndMemory]),
            (Summary, &[Resource, CpuAndMemory, Summary]),
            (Cadvisor, &[Resource, CpuAndMemory, Cadvisor]),
        ] {
            for other in [Resource, CpuAndMemory, Summary, Cadvisor] {
                assert_eq!(kind.covers(other), covered.contains(&other), "{kind:?} {other:?}");
                assert!(!kind.covers(other) || kind.detail() >= other.detail());
            }
        }
    }
}
