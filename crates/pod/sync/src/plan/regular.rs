//! Regular containers, each for itself.

use types::restart::{self, AfterExit};
use types::{Container, ContainerKind, ContainerState, ObservedContainer, pod};

use super::KillReason;
use super::round::Round;

const KIND: ContainerKind = ContainerKind::Regular;

/// Plans for the regular containers of an initialized pod. False when none of them is kept running and none will be
/// started: then the pod has come to its end.
pub(super) fn plan(round: &mut Round<'_>) -> bool {
    let mut goes_on = false;
    for container in pod::regular_containers(round.input.pod) {
        goes_on |= one(round, container);
    }
    goes_on
}

/// Plans for one container, and tells whether it runs on or is to be started.
fn one<'a>(round: &mut Round<'a>, container: &'a Container) -> bool {
    let instance = match (round.instance(&container.name), round.input.observed.newest(&container.name)) {
        (Some(instance), _) => instance,
        // One that lives in another sandbox is killed as surplus first.
        (None, Some(elsewhere)) if elsewhere.state.may_run() => return true,
        // What ended in an earlier sandbox has ended.
        (None, Some(earlier)) => earlier,
        (None, None) => {
            round.start(KIND, container, None);
            return true;
        }
    };
    match &instance.state {
        ContainerState::Created => round.start(KIND, container, None),
        ContainerState::Exited(exit) => {
            if restart::after_exit(round.input.pod, KIND, container, exit.code) == AfterExit::Stay {
                return false;
            }
            round.start(KIND, container, None);
        }
        ContainerState::Unknown => round.replace_unknown(KIND, container, instance),
        ContainerState::Running { .. } => return running(round, container, instance),
    }
    true
}

fn running(round: &mut Round<'_>, container: &Container, instance: &ObservedContainer) -> bool {
    let probes = round.input.probes;
    let restartable = restart::is_restartable(round.input.pod, KIND, container);
    let (reason, what, restarts) = if round.changed(container, instance) {
        // The spec asks for another container than this one, so the restart policy does not come into it.
        (KillReason::DefinitionChanged, "definition changed", true)
    } else if probes.liveness_failed(instance) {
        (KillReason::LivenessProbe, "failed liveness probe", restartable)
    } else if probes.startup_failed(instance) {
        (KillReason::StartupProbe, "failed startup probe", restartable)
    } else {
        return true;
    };
    let suffix = if restarts { ", will be restarted" } else { "" };
    round.kill(KIND, container, instance, reason, format!("Container {} {what}{suffix}", container.name));
    if restarts {
        round.start(KIND, container, Some(instance));
    }
    restarts
}
