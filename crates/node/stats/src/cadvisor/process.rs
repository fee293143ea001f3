//! Processes, threads and what they have open.

use super::{Family, float, gauge};

pub(super) const FAMILIES: &[Family] = &[
    gauge("container_processes", "Processes.", |target, samples| {
        samples.maybe(target.processes.map(|processes| float(processes.count)));
    }),
    gauge("container_file_descriptors", "Open file descriptors.", |target, samples| {
        samples.maybe(target.processes.and_then(|processes| processes.open).map(|open| float(open.files)));
    }),
    gauge("container_sockets", "Open sockets.", |target, samples| {
        samples.maybe(target.processes.and_then(|processes| processes.open).map(|open| float(open.sockets)));
    }),
    gauge("container_threads_max", "Threads that there may be; 0 for no limit.", |target, samples| {
        samples.maybe(target.group.usage.tasks.map(|tasks| float(tasks.limit.unwrap_or(0))));
    }),
    gauge("container_threads", "Threads.", |target, samples| {
        samples.maybe(target.group.usage.tasks.map(|tasks| float(tasks.current)));
    }),
    gauge(
        "container_ulimits_soft",
        "Soft resource limit of the first process; -1 for no limit.",
        |target, samples| {
            #[allow(clippy::cast_precision_loss, reason = "samples are floats")]
            if let Some(limit) = target.processes.and_then(|processes| processes.file_limit) {
                samples.with(&[("ulimit", "max_open_files")], limit as f64);
            }
        },
    )
    .by(labels!("ulimit")),
];
