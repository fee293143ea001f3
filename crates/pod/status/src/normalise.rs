//! The form in which two statuses that say the same are equal.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Bytes that the termination messages of a pod may take together.
const TERMINATION_MESSAGES: usize = 12 * 1024;

/// Brings `status` into the form in which the API server keeps it: times in whole seconds, regular and ephemeral
/// containers ordered by name, each container's termination message within its even share of 12 KiB.
pub fn normalise(status: &mut PodStatus) {
    whole_seconds(&mut status.start_time);
    for condition in status.conditions.iter_mut().flatten() {
        whole_seconds(&mut condition.last_probe_time);
        whole_seconds(&mut condition.last_transition_time);
    }
    let by_name = [&mut status.container_statuses, &mut status.ephemeral_container_statuses];
    for list in by_name.into_iter().flatten() {
        list.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let count = containers(status).count().max(1);
    for container in containers(status) {
        for state in [&mut container.state, &mut container.last_state] {
            normalise_state(state, TERMINATION_MESSAGES / count);
        }
    }
}

fn containers(status: &mut PodStatus) -> impl Iterator<Item = &mut ContainerStatus> {
    let lists = [
        &mut status.init_container_statuses,
        &mut status.container_statuses,
        &mut status.ephemeral_container_statuses,
    ];
    lists.into_iter().flatten().flatten()
}

fn normalise_state(state: &mut Option<ContainerState>, message_bytes: usize) {
    let Some(state) = state else { return };
    if let Some(running) = &mut state.running {
        whole_seconds(&mut running.started_at);
    }
    if let Some(terminated) = &mut state.terminated {
        whole_seconds(&mut terminated.started_at);
        whole_seconds(&mut terminated.finished_at);
        if let Some(message) = &mut terminated.message {
            message.truncate(message.floor_char_boundary(message_bytes));
        }
    }
}

fn whole_seconds(time: &mut Option<Time>) {
    if let Some(Time(time)) = time {
        *time = Timestamp::from_second(time.as_second()).unwrap_or(*time);
    }
}
