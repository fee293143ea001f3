//! What pods and their containers use.

use types::ObservedContainer;

use super::inputs::Inputs;
use super::sum::{self, sum};
use super::{ContainerStats, CpuStats, PodReference, PodStats, ProcessStats, convert, storage};
use crate::reading::{ContainerReading, PodReading};

pub(super) fn pod(pod: &PodReading, inputs: &Inputs<'_>) -> PodStats {
    let observed = &pod.view.observed;
    let now = inputs.reading.moment.at;
    let logs = inputs.storage.and_then(|storage| storage.logs.get(&observed.pod.uid));
    let containers = pod.containers().map(|(observed, reading)| ContainerStats {
        logs: inputs.storage.and_then(|storage| {
            Some(storage::on_node(*logs?.containers.get(&*observed.name)?, storage, now))
        }),
        ..container(observed, reading, inputs)
    });
    let mut containers: Vec<ContainerStats> = containers.collect();
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    let group = pod.group.as_ref();
    let volumes = inputs.storage.map(|storage| storage::volumes(&pod.view, storage));
    let oldest = || observed.containers.iter().map(|container| container.created_at).min();
    PodStats {
        pod_ref: PodReference {
            name: observed.pod.name.name.to_string(),
            namespace: observed.pod.name.namespace.to_string(),
            uid: observed.pod.uid.to_string(),
        },
        start_time: observed
            .sandboxes
            .first()
            .map(|sandbox| sandbox.created_at)
            .or_else(oldest)
            .unwrap_or(now),
        cpu: match group {
            Some(group) => convert::cpu(group, inputs.rates, None).map(|cpu| with_rate(cpu, &containers)),
            None => sum::of_cpu(&containers),
        },
        memory: match group {
            Some(group) => convert::memory(group),
            None => sum::of_memory(&containers),
        },
        io: group.and_then(convert::io).filter(|_| inputs.storage.is_some()),
        network: match (&pod.network, inputs.storage) {
            (Some(network), Some(_)) => Some(convert::network(network, now)),
            _ => None,
        },
        ephemeral_storage: inputs.storage.and_then(|storage| {
            storage::ephemeral(&pod.view, &containers, volumes.as_deref()?, logs, storage)
        }),
        volumes: volumes.unwrap_or_default(),
        process_stats: processes(pod).filter(|_| inputs.storage.is_some()),
        swap: group.and_then(convert::swap),
        containers,
    }
}

fn container(
    observed: &ObservedContainer,
    reading: &ContainerReading,
    inputs: &Inputs<'_>,
) -> ContainerStats {
    let group = reading.member.as_ref().map(|member| &member.group);
    let told = inputs.told.get(observed.id.as_str());
    let now = inputs.reading.moment.at;
    // The runtime speaks for containers whose cgroups it keeps out of sight.
    let (cpu, memory, swap, io) = match group {
        Some(group) => (
            convert::cpu(group, inputs.rates, told.and_then(|told| told.cpu.as_ref())),
            convert::memory(group),
            convert::swap(group),
            convert::io(group),
        ),
        None => (
            told.and_then(|told| told.cpu.as_ref()).map(|cpu| convert::told_cpu(cpu, now)),
            told.and_then(|told| told.memory.as_ref()).map(|memory| convert::told_memory(memory, now)),
            told.and_then(|told| told.swap.as_ref()).map(|swap| convert::told_swap(swap, now)),
            told.and_then(|told| told.io.as_ref()).and_then(|io| convert::told_io(io, now)),
        ),
    };
    ContainerStats {
        name: observed.name.to_string(),
        start_time: observed.created_at,
        cpu,
        memory,
        io: io.filter(|_| inputs.storage.is_some()),
        rootfs: inputs.storage.and_then(|storage| storage::rootfs(told?, storage, now)),
        logs: None,
        swap,
    }
}

/// After the first reading there is no rate of the pod's cgroup yet; the runtime may have told that of each container.
fn with_rate(mut cpu: CpuStats, containers: &[ContainerStats]) -> CpuStats {
    let rates = || containers.iter().map(|container| container.cpu.as_ref()?.usage_nano_cores);
    cpu.usage_nano_cores = cpu.usage_nano_cores.or_else(|| rates().sum());
    cpu
}

/// The processes of all containers and of the sandbox.
fn processes(pod: &PodReading) -> Option<ProcessStats> {
    let containers = pod.containers.iter().filter_map(|container| container.member.as_ref());
    let counts = containers.chain(&pod.sandbox).map(|member| Some(member.processes?.count));
    sum(counts).map(|process_count| ProcessStats { process_count })
}
