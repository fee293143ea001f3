//! CPU time.

use cgroup::usage::{CpuUsage, Throttling};

use super::target::Target;
use super::{Family, counter, float, seconds};

pub(super) const FAMILIES: &[Family] = &[
    counter("container_cpu_user_seconds_total", "CPU time in user mode.", |target, samples| {
        samples.maybe(cpu(target).map(|cpu| seconds(cpu.user_ns)));
    }),
    counter("container_cpu_system_seconds_total", "CPU time in kernel mode.", |target, samples| {
        samples.maybe(cpu(target).map(|cpu| seconds(cpu.system_ns)));
    }),
    counter("container_cpu_usage_seconds_total", "CPU time, of all CPUs together.", |target, samples| {
        if let Some(cpu) = cpu(target).filter(|cpu| cpu.total_ns > 0) {
            samples.with(&[("cpu", "total")], seconds(cpu.total_ns));
        }
    })
    .by(labels!("cpu")),
    counter(
        "container_cpu_cfs_periods_total",
        "Periods of the CPU quota that have passed.",
        |target, samples| {
            samples.maybe(throttling(target).map(|quota| float(quota.periods)));
        },
    ),
    counter(
        "container_cpu_cfs_throttled_periods_total",
        "Periods of the CPU quota in which the container was stopped.",
        |target, samples| samples.maybe(throttling(target).map(|quota| float(quota.throttled_periods))),
    ),
    counter(
        "container_cpu_cfs_throttled_seconds_total",
        "For how long the container was stopped by its CPU quota.",
        |target, samples| samples.maybe(throttling(target).map(|quota| seconds(quota.throttled_ns))),
    ),
    counter(
        "container_cpu_cfs_burst_periods_total",
        "Periods of the CPU quota in which the container used what it had saved up.",
        |target, samples| samples.maybe(throttling(target).map(|quota| float(quota.bursts))),
    ),
    counter(
        "container_cpu_cfs_burst_seconds_total",
        "For how long the container used what it had saved up of its CPU quota.",
        |target, samples| samples.maybe(throttling(target).map(|quota| seconds(quota.burst_ns))),
    ),
];

fn cpu(target: &Target<'_>) -> Option<CpuUsage> {
    target.group.usage.cpu
}

fn throttling(target: &Target<'_>) -> Option<Throttling> {
    cpu(target)?.throttling
}
