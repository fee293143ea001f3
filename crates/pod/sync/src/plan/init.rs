//! Init containers and sidecars (KEP-753): one after the other, each waiting for the one before it.

use types::restart::{self, AfterExit};
use types::{Container, ContainerKind, ContainerState, pod};

use super::KillReason;
use super::round::Round;

/// How far initialization has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Initialization {
    /// Regular containers may run.
    Done,
    /// Some init container has to get through first.
    Pending,
    /// An init container failed and may not be restarted.
    Failed,
}

/// Plans for init containers and sidecars.
///
/// The last one that was ever started in this sandbox tells how far the pod has got: those before it have passed,
/// even if the runtime has no trace of them left. A regular container tells that all have.
pub(super) fn plan(round: &mut Round<'_>) -> Initialization {
    let pod = round.input.pod;
    let containers = pod::init_containers(pod);
    let exists = |container: &Container| round.instance(&container.name).is_some();
    let initialized = pod::regular_containers(pod).iter().any(exists);
    let frontier = containers.iter().rposition(exists);

    let mut passed = initialized;
    for (index, container) in containers.iter().enumerate() {
        let at_frontier = !initialized && frontier == Some(index);
        if !initialized && frontier.is_none_or(|frontier| index > frontier) {
            break;
        }
        match ContainerKind::of_init(container) {
            ContainerKind::Sidecar => passed |= sidecar(round, container) && at_frontier,
            _ if !at_frontier => {}
            _ => match init(round, container) {
                Initialization::Done => passed = true,
                Initialization::Pending => {}
                Initialization::Failed => return Initialization::Failed,
            },
        }
    }
    if initialized || containers.is_empty() {
        return Initialization::Done;
    }
    let start = match (frontier, passed) {
        (None, _) => 0,
        (Some(frontier), true) => frontier + 1,
        (Some(_), false) => return Initialization::Pending,
    };
    let Some(container) = containers.get(start) else { return Initialization::Done };
    round.start(ContainerKind::of_init(container), container, None);
    Initialization::Pending
}

/// Plans for a sidecar whose turn has come, and tells whether those behind it may be started.
fn sidecar<'a>(round: &mut Round<'a>, container: &'a Container) -> bool {
    let kind = ContainerKind::Sidecar;
    let Some(instance) = round.instance(&container.name) else {
        round.start(kind, container, None);
        return false;
    };
    match instance.state {
        ContainerState::Created | ContainerState::Exited(_) => {
            round.start(kind, container, None);
            return false;
        }
        ContainerState::Unknown => {
            round.replace_unknown(kind, container, instance);
            return false;
        }
        ContainerState::Running { .. } => {}
    }
    let probes = round.input.probes;
    let (reason, what) = if round.changed(container, instance) {
        (KillReason::DefinitionChanged, "definition changed")
    } else if probes.startup_failed(instance) {
        (KillReason::StartupProbe, "failed startup probe")
    } else if probes.liveness_failed(instance) {
        (KillReason::LivenessProbe, "failed liveness probe")
    } else {
        return probes.started(container, instance);
    };
    let message = format!("Init container {} {what}", container.name);
    round.kill(kind, container, instance, reason, message);
    round.start(kind, container, Some(instance));
    probes.started(container, instance)
}

/// Plans for the init container that the pod has got to.
fn init<'a>(round: &mut Round<'a>, container: &'a Container) -> Initialization {
    let kind = ContainerKind::Init;
    let Some(instance) = round.instance(&container.name) else { return Initialization::Pending };
    match &instance.state {
        ContainerState::Running { .. } => Initialization::Pending,
        ContainerState::Created => {
            round.start(kind, container, None);
            Initialization::Pending
        }
        ContainerState::Exited(exit) if exit.code == 0 => Initialization::Done,
        ContainerState::Exited(exit) => {
            if restart::after_exit(round.input.pod, kind, container, exit.code) == AfterExit::Stay {
                return Initialization::Failed;
            }
            round.start(kind, container, None);
            Initialization::Pending
        }
        ContainerState::Unknown => {
            if !restart::is_restartable(round.input.pod, kind, container) {
                return Initialization::Failed;
            }
            round.replace_unknown(kind, container, instance);
            Initialization::Pending
        }
    }
}
