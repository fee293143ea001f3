//! The statuses of single containers.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ContainerState as ApiState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
    ContainerStatus, ContainerUser, LinuxContainerUser, PodStatus, VolumeMountStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use types::reason::{terminated, waiting};
use types::restart::{self, AfterExit};
use types::{Container, ContainerKind, ContainerState, ObservedContainer, pod};

use crate::resources;
use crate::{DeriveInput, Life};

/// The exit code of a container whose own is not known: that of SIGKILL.
const UNKNOWN_EXIT_CODE: i32 = 137;

/// The statuses of all containers, with their kinds, in the order of the spec.
pub(crate) fn statuses(input: &DeriveInput<'_>) -> Vec<(ContainerKind, ContainerStatus)> {
    let old = by_name(input.previous);
    let mut all: Vec<_> = pod::containers(input.pod)
        .map(|(kind, container)| {
            let old = old.get(container.name.as_str()).copied();
            (kind, status(input, kind, &container, old))
        })
        .collect();
    if input.life == Life::Terminated {
        give_up(&mut all);
    }
    all
}

fn by_name(previous: Option<&PodStatus>) -> BTreeMap<&str, &ContainerStatus> {
    let lists = previous.into_iter().flat_map(|status| {
        [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses]
    });
    lists.flatten().flatten().map(|status| (status.name.as_str(), status)).collect()
}

fn status(
    input: &DeriveInput<'_>,
    kind: ContainerKind,
    container: &Container,
    old: Option<&ContainerStatus>,
) -> ContainerStatus {
    let mut instances = input.observed.instances(&container.name);
    let newest = instances.next();
    let mut status = match newest {
        Some(newest) => seen(input, container, newest, instances.next(), old),
        None => unseen(input, kind, container, old),
    };
    fail(input, kind, container, newest, old, &mut status);
    if kind != ContainerKind::Ephemeral {
        let counts = newest.filter(|_| is_running(&status));
        status.started = Some(counts.is_some_and(|newest| input.probes.started(container, newest)));
        status.ready = match kind {
            ContainerKind::Init => terminated_state(&status).is_some_and(|end| end.exit_code == 0),
            _ => counts.is_some_and(|newest| input.probes.ready(container, newest)),
        };
    }
    status
}

/// The status of a container that the runtime has. `before` is the instance before `newest`.
fn seen(
    input: &DeriveInput<'_>,
    container: &Container,
    newest: &ObservedContainer,
    before: Option<&ObservedContainer>,
    old: Option<&ContainerStatus>,
) -> ContainerStatus {
    let id = container_id(input, newest);
    let same = old.filter(|old| old.container_id.as_ref() == Some(&id));
    let mut restart_count = newest.restart_count;
    let state = match &newest.state {
        // Counted once, when it is noticed: that it ran before is known from the last status only.
        ContainerState::Unknown => match same {
            Some(old) if is_running(old) => {
                restart_count = restart_count.saturating_add(1);
                terminated_unknown(Some(id.clone()), "the runtime lost track of the running container")
            }
            Some(old) => match noticed_loss(old, &id) {
                Some(state) => {
                    restart_count = old.restart_count.try_into().unwrap_or_default();
                    state.clone()
                }
                None => waiting_state(None, None),
            },
            None => waiting_state(None, None),
        },
        _ => state(input, newest),
    };
    // The runtime may have removed the instance before, of which the last status still knows.
    let last_state = match before.filter(|before| before.state.exit().is_some()) {
        Some(before) => Some(self::state(input, before)),
        None => same.and_then(|old| old.last_state.clone()).filter(|last| {
            last.terminated.as_ref().is_some_and(|end| end.container_id.as_ref() != Some(&id))
        }),
    };
    let resources = resources::in_force(container, newest);
    ContainerStatus {
        allocated_resources: resources.requests.clone(),
        container_id: Some(id),
        image: newest.image.clone(),
        image_id: newest.image_ref.clone(),
        last_state: Some(last_state.unwrap_or_default()),
        name: container.name.clone(),
        resources: Some(resources),
        restart_count: restart_count.try_into().unwrap_or(i32::MAX),
        state: Some(state),
        user: newest.user.as_ref().map(|user| ContainerUser {
            linux: Some(LinuxContainerUser {
                gid: user.gid,
                supplemental_groups: Some(user.supplemental_groups.clone()),
                uid: user.uid,
            }),
        }),
        volume_mounts: volume_mounts(container, newest),
        ..ContainerStatus::default()
    }
}

/// The status of a container of which the runtime has nothing: not started yet, or lost.
fn unseen(
    input: &DeriveInput<'_>,
    kind: ContainerKind,
    container: &Container,
    old: Option<&ContainerStatus>,
) -> ContainerStatus {
    if let Some(old) = old.filter(|old| terminated_state(old).is_some()) {
        return old.clone();
    }
    let has_init = !pod::init_containers(input.pod).is_empty();
    let reason = if has_init { waiting::POD_INITIALIZING } else { waiting::CONTAINER_CREATING };
    let mut status = match old {
        Some(old) if !is_running(old) => old.clone(),
        _ => ContainerStatus {
            image: container.image.clone().unwrap_or_default(),
            last_state: Some(old.and_then(|old| old.last_state.clone()).unwrap_or_default()),
            name: container.name.clone(),
            restart_count: old.map_or(0, |old| old.restart_count),
            ..ContainerStatus::default()
        },
    };
    status.state = Some(waiting_state(Some(reason), None));
    if kind == ContainerKind::Init && was_initialized(input) {
        status.state = Some(ApiState {
            terminated: Some(ContainerStateTerminated {
                exit_code: 0,
                message: Some(
                    "the runtime has no record of it, and containers that come after it were started"
                        .to_owned(),
                ),
                reason: Some(terminated::COMPLETED.to_owned()),
                ..ContainerStateTerminated::default()
            }),
            ..ApiState::default()
        });
    } else if old.is_some_and(is_running) {
        if status.last_state.as_ref().is_none_or(|last| last.terminated.is_none()) {
            let id = old.and_then(|old| old.container_id.clone());
            status.last_state =
                Some(terminated_unknown(id, "the container used to run and is gone from the runtime"));
        }
        if input.life == Life::Running && !pod::is_deleting(input.pod) {
            status.restart_count = status.restart_count.saturating_add(1);
        }
    }
    status
}

/// Shows a container whose next start fails or waits as waiting.
fn fail(
    input: &DeriveInput<'_>,
    kind: ContainerKind,
    container: &Container,
    newest: Option<&ObservedContainer>,
    old: Option<&ContainerStatus>,
    status: &mut ContainerStatus,
) {
    let failure = input.failures.get(&container.name);
    let waits = match failure {
        Some(failure) => waiting_state(Some(&failure.reason), Some(&failure.message)),
        None => match old.filter(|old| old.container_id == status.container_id).and_then(failed_before) {
            Some(waits) => waits.clone(),
            None => return,
        },
    };
    let starts = match newest.map(|newest| &newest.state) {
        None => {
            terminated_state(status).is_none_or(|end| is_restarted(input, kind, container, end.exit_code))
        }
        Some(ContainerState::Running { .. }) => false,
        Some(ContainerState::Created | ContainerState::Unknown) => true,
        Some(ContainerState::Exited(exit)) => is_restarted(input, kind, container, exit.code),
    };
    if input.life != Life::Running || pod::is_deleting(input.pod) || !starts {
        return;
    }
    if terminated_state(status).is_some() {
        status.last_state = status.state.take();
    }
    status.state = Some(waits);
}

/// The state of a container whose next start was said to fail or wait. It is so until it has been tried again: a restart
/// of berth is no news about it.
fn failed_before(old: &ContainerStatus) -> Option<&ApiState> {
    let state = old.state.as_ref()?;
    let reason = state.waiting.as_ref()?.reason.as_deref()?;
    (![waiting::CONTAINER_CREATING, waiting::POD_INITIALIZING].contains(&reason)).then_some(state)
}

fn is_restarted(input: &DeriveInput<'_>, kind: ContainerKind, container: &Container, exit_code: i32) -> bool {
    restart::after_exit(input.pod, kind, container, exit_code) != AfterExit::Stay
}

/// In a pod that is over, a container that began and has no known end counts as killed. Those that the pod never got
/// to stay as they are.
fn give_up(all: &mut [(ContainerKind, ContainerStatus)]) {
    let began = |status: &ContainerStatus| {
        is_running(status)
            || terminated_state(status).is_some()
            || status.last_state.as_ref().is_some_and(|last| last.terminated.is_some())
    };
    let initialized = all.iter().any(|(kind, status)| *kind == ContainerKind::Regular && began(status));
    for (kind, status) in all {
        let counts = match kind {
            ContainerKind::Regular => initialized,
            _ => began(status),
        };
        let waits = status.state.as_ref().is_none_or(|state| state.waiting.is_some());
        if counts && waits {
            let message = "the container could not be located when the pod was terminated";
            status.state = Some(terminated_unknown(status.container_id.clone(), message));
            status.ready = false;
        }
    }
}

/// Whether a regular container was ever created in the newest sandbox.
fn was_initialized(input: &DeriveInput<'_>) -> bool {
    let sandbox = input.observed.sandboxes.first().map(|sandbox| &sandbox.id);
    pod::regular_containers(input.pod).iter().any(|container| {
        input.observed.newest(&container.name).is_some_and(|newest| Some(&newest.sandbox) == sandbox)
    })
}

fn state(input: &DeriveInput<'_>, instance: &ObservedContainer) -> ApiState {
    match &instance.state {
        ContainerState::Created | ContainerState::Unknown => waiting_state(None, None),
        ContainerState::Running { started_at } => ApiState {
            running: Some(ContainerStateRunning { started_at: Some(Time(*started_at)) }),
            ..ApiState::default()
        },
        ContainerState::Exited(exit) => ApiState {
            terminated: Some(ContainerStateTerminated {
                container_id: Some(container_id(input, instance)),
                exit_code: exit.code,
                finished_at: Some(Time(exit.finished_at)),
                message: Some(exit.message.clone()).filter(|message| !message.is_empty()),
                reason: Some(exit.reason.clone()).filter(|reason| !reason.is_empty()),
                signal: None,
                started_at: exit.started_at.map(Time),
            }),
            ..ApiState::default()
        },
    }
}

fn container_id(input: &DeriveInput<'_>, instance: &ObservedContainer) -> String {
    format!("{}://{}", input.runtime_name, instance.id)
}

fn waiting_state(reason: Option<&str>, message: Option<&str>) -> ApiState {
    let waiting = ContainerStateWaiting {
        message: message.filter(|text| !text.is_empty()).map(ToOwned::to_owned),
        reason: reason.map(ToOwned::to_owned),
    };
    ApiState { waiting: Some(waiting), ..ApiState::default() }
}

fn terminated_unknown(container_id: Option<String>, message: &str) -> ApiState {
    ApiState {
        terminated: Some(ContainerStateTerminated {
            container_id,
            exit_code: UNKNOWN_EXIT_CODE,
            message: Some(message.to_owned()),
            reason: Some(terminated::CONTAINER_STATUS_UNKNOWN.to_owned()),
            ..ContainerStateTerminated::default()
        }),
        ..ApiState::default()
    }
}

/// The state in which an earlier status noticed that the runtime had lost track of the instance `id`.
fn noticed_loss<'a>(old: &'a ContainerStatus, id: &str) -> Option<&'a ApiState> {
    [&old.state, &old.last_state].into_iter().flatten().find(|state| {
        state.terminated.as_ref().is_some_and(|end| {
            end.reason.as_deref() == Some(terminated::CONTAINER_STATUS_UNKNOWN)
                && end.container_id.as_deref() == Some(id)
        })
    })
}

/// Whether the status says that the container runs.
pub(crate) fn is_running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

/// How the container ended, if its status says so.
pub(crate) fn terminated_state(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    status.state.as_ref()?.terminated.as_ref()
}

/// How the container ended before the state it is in, if its status says so.
pub(crate) fn last_end(status: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    status.last_state.as_ref()?.terminated.as_ref()
}

fn volume_mounts(container: &Container, instance: &ObservedContainer) -> Option<Vec<VolumeMountStatus>> {
    let statuses = container.volume_mounts.as_ref()?.iter().map(|mount| {
        let read_only = mount.read_only.unwrap_or(false);
        let seen = instance.mounts.iter().find(|seen| seen.container_path == mount.mount_path);
        let recursive =
            if seen.is_some_and(|seen| seen.recursive_read_only) { "Enabled" } else { "Disabled" };
        VolumeMountStatus {
            mount_path: mount.mount_path.clone(),
            name: mount.name.clone(),
            read_only: read_only.then_some(true),
            recursive_read_only: read_only.then(|| recursive.to_owned()),
            ..VolumeMountStatus::default()
        }
    });
    Some(statuses.collect::<Vec<_>>()).filter(|statuses| !statuses.is_empty())
}
