//! What the kernel tells of the machine where the root cgroup does not, and what the machine is.

use std::collections::BTreeMap;

use cgroup::Usage;
use cgroup::usage::{CpuUsage, Faults, MemoryUsage, Pressures};
use linux::pressure::{self, Pressure, Resource};
use linux::proc::{self, CpuTime, Memory, PageFaults};
use linux::topology::{self, Modules, Topology};

/// Facts that do not change while the machine runs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Machine {
    pub(crate) machine_id: String,
    pub(crate) system_uuid: String,
    pub(crate) boot_id: String,
    pub(crate) kernel: String,
    pub(crate) os: String,
    pub(crate) topology: Topology,
    pub(crate) modules: BTreeMap<String, Modules>,
    pub(crate) memory: Memory,
}

impl Machine {
    /// Looks at the machine. What it does not tell stays empty.
    pub(crate) fn detect() -> Self {
        Self {
            machine_id: proc::machine_id().unwrap_or_default(),
            system_uuid: proc::system_uuid().unwrap_or_default(),
            boot_id: proc::boot_id().unwrap_or_default(),
            kernel: proc::kernel_version(),
            os: proc::os_pretty_name(),
            topology: topology::read(),
            modules: topology::modules(),
            memory: proc::memory().unwrap_or_default(),
        }
    }
}

/// What is known of the machine beside its root cgroup.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beside {
    pub(crate) memory: Memory,
    pub(crate) cpu: CpuTime,
    pub(crate) faults: PageFaults,
}

impl Beside {
    pub(crate) fn read() -> Self {
        Self {
            memory: proc::memory().unwrap_or_default(),
            cpu: proc::cpu_time().unwrap_or_default(),
            faults: proc::page_faults().unwrap_or_default(),
        }
    }
}

/// The pressure on the whole machine, where its root cgroup does not tell it.
pub(crate) fn pressures(own: Pressures) -> Pressures {
    let of = |own: Option<Pressure>, resource| own.or_else(|| pressure::of_machine(resource));
    Pressures {
        cpu: of(own.cpu, Resource::Cpu),
        memory: of(own.memory, Resource::Memory),
        io: of(own.io, Resource::Io),
    }
}

/// The root cgroup with what it lacks: before Linux 5.9 its CPU time, before 5.8 its memory (both on cgroup v2), and
/// always that its limits are what the machine has.
pub(crate) fn whole(mut root: Usage, beside: &Beside) -> Usage {
    let ns = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    root.cpu.get_or_insert_with(|| CpuUsage {
        total_ns: ns(beside.cpu.user + beside.cpu.system),
        user_ns: ns(beside.cpu.user),
        system_ns: ns(beside.cpu.system),
        throttling: None,
    });
    let Memory { total_bytes, available_bytes, swap_total_bytes, swap_free_bytes } = beside.memory;
    let memory = root.memory.get_or_insert_with(|| {
        let used = total_bytes.saturating_sub(available_bytes);
        let faults = Faults { all: beside.faults.all, major: beside.faults.major };
        MemoryUsage { usage: used, working_set: used, faults, ..MemoryUsage::default() }
    });
    memory.limit = Some(total_bytes);
    memory.swap = swap_total_bytes.saturating_sub(swap_free_bytes);
    memory.swap_limit = Some(swap_total_bytes);
    root
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn usage(cpu: Option<CpuUsage>, memory: Option<MemoryUsage>) -> Usage {
        Usage {
            since: SystemTime::UNIX_EPOCH,
            cpu,
            memory,
            pressure: Pressures::default(),
            cpu_limits: None,
            tasks: None,
            io: Vec::new(),
        }
    }

    #[test]
    fn the_root_lacks_what_the_machine_tells() {
        let beside = Beside {
            memory: Memory {
                total_bytes: 1000,
                available_bytes: 400,
                swap_total_bytes: 50,
                swap_free_bytes: 20,
            },
            cpu: CpuTime { user: Duration::from_nanos(7), system: Duration::from_nanos(3) },
            faults: PageFaults { all: 9, major: 1 },
        };
        let limits =
            MemoryUsage { limit: Some(1000), swap: 30, swap_limit: Some(50), ..MemoryUsage::default() };
        let old = whole(usage(None, None), &beside);
        assert_eq!(old.cpu.unwrap(), CpuUsage { total_ns: 10, user_ns: 7, system_ns: 3, throttling: None });
        let faults = Faults { all: 9, major: 1 };
        let expected = MemoryUsage { usage: 600, working_set: 600, faults, ..limits };
        assert_eq!(old.memory.unwrap(), expected);

        let cpu = CpuUsage { total_ns: 5, ..CpuUsage::default() };
        let memory = MemoryUsage { usage: 700, working_set: 650, ..MemoryUsage::default() };
        let new = whole(usage(Some(cpu), Some(memory)), &beside);
        assert_eq!(new.cpu, Some(cpu));
        assert_eq!(new.memory, Some(MemoryUsage { usage: 700, working_set: 650, ..limits }));
    }

    #[test]
    fn this_machine() {
        let machine = Machine::detect();
        assert!(!machine.boot_id.is_empty() && machine.memory.total_bytes > 0);
        let beside = Beside::read();
        assert!(beside.cpu.user > Duration::ZERO && beside.faults.all > 0);
    }
}
