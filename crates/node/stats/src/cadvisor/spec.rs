//! What a container may use, and since when it is there.

use super::{Family, float, gauge};

pub(super) const FAMILIES: &[Family] = &[
    gauge("container_last_seen", "Unix time at which the container was last seen.", |target, samples| {
        #[allow(clippy::cast_precision_loss, reason = "samples are floats")]
        samples.add(target.group.moment.at.as_second() as f64);
    }),
    gauge(
        "container_health_state",
        "What the container's own health check says; always -1, for there is none.",
        |_, samples| samples.add(-1.0),
    ),
    gauge(
        "container_start_time_seconds",
        "Unix time at which the container was created.",
        |target, samples| {
            #[allow(clippy::cast_precision_loss, reason = "samples are floats")]
            samples.timeless(target.started.as_second() as f64);
        },
    ),
    gauge("container_spec_cpu_period", "Length of a period of the CPU quota, in µs.", |target, samples| {
        if let Some(limits) = target.group.usage.cpu_limits {
            samples.timeless(float(limits.period_us));
        }
    }),
    gauge("container_spec_cpu_quota", "CPU time for each period, in µs.", |target, samples| {
        if let Some(quota_us) = target.group.usage.cpu_limits.and_then(|limits| limits.quota_us) {
            samples.timeless(float(quota_us));
        }
    }),
    gauge(
        "container_spec_cpu_shares",
        "Weight when CPU time is short; 1024 for a core.",
        |target, samples| {
            if let Some(limits) = target.group.usage.cpu_limits {
                samples.timeless(float(limits.shares));
            }
        },
    ),
    gauge(
        "container_spec_memory_limit_bytes",
        "Memory that may be used; 0 for no limit.",
        |target, samples| {
            if let Some(memory) = target.group.usage.memory {
                samples.timeless(float(memory.limit.unwrap_or(0)));
            }
        },
    ),
    gauge(
        "container_spec_memory_swap_limit_bytes",
        "Swap space that may be used; 0 for none and for no limit.",
        |target, samples| {
            if let Some(memory) = target.group.usage.memory {
                samples.timeless(float(memory.swap_limit.unwrap_or(0)));
            }
        },
    ),
    gauge(
        "container_spec_memory_reservation_limit_bytes",
        "Memory that is kept for the container; 0 for none.",
        |target, samples| {
            if let Some(memory) = target.group.usage.memory {
                samples.timeless(float(memory.reservation.unwrap_or(0)));
            }
        },
    ),
];
