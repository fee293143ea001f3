//! Reading the kernel's files. All of it blocks, and is called where that is allowed.

use std::collections::BTreeMap;

use cgroup::UsageReader;
use cgroup::usage::Detail;
use linux::diskstats;
use linux::mountinfo::MountTable;
use linux::netdev::{self, Interface};
use linux::openfiles;
use linux::proc::{self, Process};

use crate::machine::{self, Beside};
use crate::moment::Moment;
use crate::needs::{NodeView, PodView, SystemContainer};
use crate::reading::{Kind, Measured, Member, NodeReading, PodReading, Processes, Reading};

/// Interfaces that are the inner ends of other networks, by how their names begin (as cAdvisor has it).
const IGNORED_INTERFACES: [&str; 4] = ["lo", "veth", "docker", "nerdctl"];

/// Reads everything that `kind` needs.
pub(crate) fn read(cgroups: &UsageReader, kind: Kind, view: NodeView, pods: Vec<PodView>) -> Reading {
    let reader = Reader { cgroups, kind };
    let moment = Moment::now();
    let mut pods: Vec<PodReading> = pods.into_iter().filter_map(PodReading::of).collect();
    pods.sort_by(|a, b| a.view.observed.pod.name.cmp(&b.view.observed.pod.name));
    pods.iter_mut().for_each(|pod| reader.pod(pod));
    let classes = if kind == Kind::Cadvisor { &*view.classes } else { &[] };
    let classes = classes.iter().filter_map(|path| reader.group(path)).collect();
    Reading { moment, node: reader.node(), system: reader.system(&view), classes, pods, view }
}

struct Reader<'a> {
    cgroups: &'a UsageReader,
    kind: Kind,
}

impl Reader<'_> {
    fn group(&self, path: &str) -> Option<Measured> {
        let moment = Moment::now();
        let usage = self.cgroups.read(path, self.kind.detail())?;
        Some(Measured { path: path.to_owned(), moment, usage })
    }

    /// A cgroup with its processes, of which the first one becomes `pid` if that is not known yet.
    fn member(&self, path: &str, pid: &mut Option<u32>) -> Option<Member> {
        if !self.kind.has_processes() {
            return Some(Member { group: self.group(path)?, processes: None });
        }
        let moment = Moment::now();
        let (usage, pids) = self.cgroups.read_with_processes(path, self.kind.detail())?;
        *pid = pid.or(pids.first().copied());
        let group = Measured { path: path.to_owned(), moment, usage };
        Some(Member { group, processes: Some(self.processes(&pids)) })
    }

    fn processes(&self, pids: &[u32]) -> Processes {
        let mut found = Processes { count: pids.len() as u64, ..Processes::default() };
        if self.kind == Kind::Cadvisor {
            let mut sum = openfiles::OpenFiles::default();
            // A process that ended meanwhile has nothing open.
            for open in pids.iter().filter_map(|pid| openfiles::of(Process::Pid(*pid)).ok()) {
                sum.files += open.files;
                sum.sockets += open.sockets;
            }
            found.open = Some(sum);
            found.file_limit =
                pids.first().and_then(|pid| openfiles::soft_limit(Process::Pid(*pid)).ok().flatten());
        }
        found
    }

    fn pod(&self, pod: &mut PodReading) {
        let mut pid = None;
        if let Some(path) = pod.view.cgroup.clone() {
            pod.group = self.group(&path);
            let children = self.cgroups.children(&path);
            let of = |id: &str| Some(format!("{}/{}", path.trim_end_matches('/'), child_of(&children, id)?));
            if self.kind.has_processes() {
                let sandbox = pod.view.observed.sandboxes.first().and_then(|sandbox| of(sandbox.id.as_str()));
                pod.sandbox = sandbox.and_then(|path| self.member(&path, &mut pid));
            }
            for (observed, container) in pod.containers_mut() {
                container.member = of(observed.id.as_str()).and_then(|path| self.member(&path, &mut pid));
            }
        }
        // All containers share the network of their sandbox, which need not have a process.
        pod.network = pid.and_then(|pid| interfaces(Process::Pid(pid)));
    }

    fn system(&self, view: &NodeView) -> BTreeMap<SystemContainer, Member> {
        let pods = view.pods.iter().map(|path| (SystemContainer::Pods, path));
        let daemons = view.system.iter().map(|(name, path)| (*name, path));
        // Nobody lives in the cgroup of all pods itself, and those of pods are counted with them.
        let read = |name, path: &str| match name {
            SystemContainer::Pods => Some(Member { group: self.group(path)?, processes: None }),
            _ => self.member(path, &mut None),
        };
        pods.chain(daemons).filter_map(|(name, path)| Some((name, read(name, path)?))).collect()
    }

    fn node(&self) -> NodeReading {
        let root = self.group("/").map(|mut root| {
            root.usage = machine::whole(root.usage, &Beside::read());
            if self.kind.detail() >= Detail::Pressure {
                root.usage.pressure = machine::pressures(root.usage.pressure);
            }
            root
        });
        let processes = self.kind.has_processes();
        let host = || interfaces(Process::Pid(1)).or_else(|| interfaces(Process::Current));
        NodeReading {
            root,
            network: if processes { host().unwrap_or_default() } else { Vec::new() },
            tasks: proc::tasks().ok().zip(proc::max_tasks().ok()).filter(|_| processes),
            disks: if self.kind == Kind::Cadvisor {
                diskstats::all().unwrap_or_default()
            } else {
                Vec::new()
            },
            mounts: if processes { MountTable::read().unwrap_or_default() } else { MountTable::default() },
        }
    }
}

/// The directory of the container or sandbox `id` among those in its pod's cgroup. Each runtime adds something of its
/// own to the id: `cri-containerd-<id>.scope`, `crio-<id>.scope`, or nothing.
fn child_of<'a>(children: &'a [String], id: &str) -> Option<&'a str> {
    let is_it = |child: &&String| {
        child.strip_suffix(".scope").unwrap_or(child).strip_suffix(id).is_some_and(|prefix| {
            // CRI-O's monitor of a container is beside it, in `crio-conmon-<id>.scope`.
            !prefix.ends_with("conmon-")
        })
    };
    children.iter().find(is_it).filter(|_| !id.is_empty()).map(String::as_str)
}

/// The interfaces of a process's network that count; none if it is gone.
fn interfaces(process: Process) -> Option<Vec<Interface>> {
    let mut found = netdev::of(process).ok()?;
    found.retain(|interface| !IGNORED_INTERFACES.iter().any(|prefix| interface.name.starts_with(prefix)));
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cgroups_of_containers_by_runtime() {
        let children = [
            "crio-conmon-abc.scope",
            "cri-containerd-abc.scope",
            "abcd",
            "crio-def.scope",
            "ghi",
            "xghi.mount",
        ]
        .map(str::to_owned);
        for (id, expected) in [
            ("abc", Some("cri-containerd-abc.scope")),
            ("abcd", Some("abcd")),
            ("def", Some("crio-def.scope")),
            ("ghi", Some("ghi")),
            ("jkl", None),
            ("", None),
        ] {
            assert_eq!(child_of(&children, id), expected, "{id:?}");
        }
    }
}
