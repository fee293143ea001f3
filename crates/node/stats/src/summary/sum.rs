//! Sums over containers.

use super::{ContainerStats, CpuStats, MemoryStats};

/// What all together use of the CPU; none if that is known of none.
pub(super) fn of_cpu(containers: &[ContainerStats]) -> Option<CpuStats> {
    let all = || containers.iter().filter_map(|container| container.cpu.as_ref());
    Some(CpuStats {
        time: all().map(|cpu| cpu.time).max()?,
        usage_nano_cores: sum(all().map(|cpu| cpu.usage_nano_cores)),
        usage_core_nano_seconds: sum(all().map(|cpu| cpu.usage_core_nano_seconds)),
        psi: None,
    })
}

/// What all together use of the memory; none if that is known of none.
pub(super) fn of_memory(containers: &[ContainerStats]) -> Option<MemoryStats> {
    let all = || containers.iter().filter_map(|container| container.memory.as_ref());
    Some(MemoryStats {
        time: all().map(|memory| memory.time).max()?,
        available_bytes: None,
        usage_bytes: sum(all().map(|memory| memory.usage_bytes)),
        working_set_bytes: sum(all().map(|memory| memory.working_set_bytes)),
        rss_bytes: sum(all().map(|memory| memory.rss_bytes)),
        page_faults: sum(all().map(|memory| memory.page_faults)),
        major_page_faults: sum(all().map(|memory| memory.major_page_faults)),
        psi: None,
    })
}

/// The sum of those that are known; none if none is.
pub(super) fn sum(numbers: impl Iterator<Item = Option<u64>>) -> Option<u64> {
    numbers.flatten().reduce(u64::saturating_add)
}
