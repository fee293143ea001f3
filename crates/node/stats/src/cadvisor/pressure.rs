//! Pressure: for how long tasks waited.

use cgroup::usage::Pressures;
use linux::pressure::{Pressure, Stall};

use super::target::Target;
use super::{Family, Samples, counter, seconds_of_us};

pub(super) const FAMILIES: &[Family] = &[
    counter(
        "container_pressure_cpu_stalled_seconds_total",
        "For how long all tasks waited for CPU time at once.",
        |target, samples| add(target, samples, |of| of.cpu, |cpu| cpu.full),
    ),
    counter(
        "container_pressure_cpu_waiting_seconds_total",
        "For how long a task waited for CPU time.",
        |target, samples| add(target, samples, |of| of.cpu, |cpu| cpu.some),
    ),
    counter(
        "container_pressure_memory_stalled_seconds_total",
        "For how long all tasks waited for memory at once.",
        |target, samples| add(target, samples, |of| of.memory, |memory| memory.full),
    ),
    counter(
        "container_pressure_memory_waiting_seconds_total",
        "For how long a task waited for memory.",
        |target, samples| add(target, samples, |of| of.memory, |memory| memory.some),
    ),
    counter(
        "container_pressure_io_stalled_seconds_total",
        "For how long all tasks waited for disks at once.",
        |target, samples| add(target, samples, |of| of.io, |io| io.full),
    ),
    counter(
        "container_pressure_io_waiting_seconds_total",
        "For how long a task waited for disks.",
        |target, samples| add(target, samples, |of| of.io, |io| io.some),
    ),
];

fn add(
    target: &Target<'_>,
    samples: &mut Samples<'_, '_>,
    on: fn(&Pressures) -> Option<Pressure>,
    who: fn(Pressure) -> Stall,
) {
    samples.maybe(on(&target.group.usage.pressure).map(|pressure| seconds_of_us(who(pressure).total_us)));
}
