//! Memory.

use cgroup::usage::MemoryUsage;

use super::target::Target;
use super::{Family, counter, float, gauge};

pub(super) const FAMILIES: &[Family] = &[
    gauge("container_memory_cache", "Page cache, in bytes.", |target, samples| {
        samples.maybe(memory(target).map(|memory| float(memory.cache)));
    }),
    gauge("container_memory_rss", "Anonymous memory, in bytes.", |target, samples| {
        samples.maybe(memory(target).map(|memory| float(memory.rss)));
    }),
    gauge(
        "container_memory_kernel_usage",
        "The kernel's own memory for the container, in bytes.",
        |target, samples| {
            samples.maybe(memory(target).and_then(|memory| memory.kernel).map(float));
        },
    ),
    gauge("container_memory_mapped_file", "File pages that are mapped, in bytes.", |target, samples| {
        samples.maybe(memory(target).map(|memory| float(memory.mapped_file)));
    }),
    gauge("container_memory_swap", "Swap space in use, in bytes.", |target, samples| {
        samples.maybe(memory(target).map(|memory| float(memory.swap)));
    }),
    counter("container_memory_failcnt", "How often memory ran into its limit.", |target, samples| {
        samples.maybe(memory(target).and_then(|memory| memory.limit_hits).map(float));
    }),
    gauge("container_memory_usage_bytes", "All memory in use, whenever it was used.", |target, samples| {
        samples.maybe(memory(target).map(|memory| float(memory.usage)));
    }),
    gauge("container_memory_max_usage_bytes", "The most memory that was ever in use.", |target, samples| {
        samples.maybe(memory(target).and_then(|memory| memory.peak).map(float));
    }),
    gauge(
        "container_memory_working_set_bytes",
        "Memory in use, without file pages that were not used lately.",
        |target, samples| samples.maybe(memory(target).map(|memory| float(memory.working_set))),
    ),
    gauge(
        "container_memory_total_active_file_bytes",
        "File pages that were used lately.",
        |target, samples| {
            samples.maybe(memory(target).map(|memory| float(memory.active_file)));
        },
    ),
    gauge(
        "container_memory_total_inactive_file_bytes",
        "File pages that were not used lately.",
        |target, samples| {
            samples.maybe(memory(target).map(|memory| float(memory.inactive_file)));
        },
    ),
    counter("container_memory_failures_total", "Page faults.", |target, samples| {
        let Some(memory) = memory(target) else { return };
        let own = memory.own_faults.unwrap_or(memory.faults);
        for (scope, faults) in [("container", own), ("hierarchy", memory.faults)] {
            for (kind, count) in [("pgfault", faults.all), ("pgmajfault", faults.major)] {
                samples.with(&[("failure_type", kind), ("scope", scope)], float(count));
            }
        }
    })
    .by(labels!("failure_type", "scope")),
    counter("container_oom_events_total", "Processes killed because memory ran out.", |target, samples| {
        samples.maybe(memory(target).and_then(|memory| memory.oom_kills).map(float));
    }),
];

fn memory(target: &Target<'_>) -> Option<MemoryUsage> {
    target.group.usage.memory
}
