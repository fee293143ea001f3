//! Pressure: for how long tasks waited.

use super::{Family, counter, seconds_of_us};

pub(super) const FAMILIES: &[Family] = &[
    counter(
        "container_pressure_cpu_stalled_seconds_total",
        "For how long all tasks waited for CPU time at once.",
        |target, samples| {
            samples.maybe(target.group.usage.pressure.cpu.map(|cpu| seconds_of_us(cpu.full.total_us)))
        },
    ),
    counter(
        "container_pressure_cpu_waiting_seconds_total",
        "For how long a task waited for CPU time.",
        |target, samples| {
            samples.maybe(target.group.usage.pressure.cpu.map(|cpu| seconds_of_us(cpu.some.total_us)))
        },
    ),
    counter(
        "container_pressure_memory_stalled_seconds_total",
        "For how long all tasks waited for memory at once.",
        |target, samples| {
            samples
                .maybe(target.group.usage.pressure.memory.map(|memory| seconds_of_us(memory.full.total_us)));
        },
    ),
    counter(
        "container_pressure_memory_waiting_seconds_total",
        "For how long a task waited for memory.",
        |target, samples| {
            samples
                .maybe(target.group.usage.pressure.memory.map(|memory| seconds_of_us(memory.some.total_us)));
        },
    ),
    counter(
        "container_pressure_io_stalled_seconds_total",
        "For how long all tasks waited for disks at once.",
        |target, samples| {
            samples.maybe(target.group.usage.pressure.io.map(|io| seconds_of_us(io.full.total_us)))
        },
    ),
    counter(
        "container_pressure_io_waiting_seconds_total",
        "For how long a task waited for disks.",
        |target, samples| {
            samples.maybe(target.group.usage.pressure.io.map(|io| seconds_of_us(io.some.total_us)))
        },
    ),
];
