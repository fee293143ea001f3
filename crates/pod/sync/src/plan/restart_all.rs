//! The end of one container that restarts all of them (KEP-5532).

use types::restart::{self, AfterExit};
use types::{Container, ContainerKind, ObservedContainer, Pod, pod};

use super::round::Round;
use super::{Kill, KillReason, PlanInput};

/// Plans the restart of all containers, if one of them ended so that its rules ask for that. Everything but ephemeral
/// containers is killed without grace and removed; the sandbox stays, and the pod begins again with its first init
/// container.
///
/// The container that asked goes last, and its newest instance at the very end: as long as it is there, a plan that
/// was cut short comes out again.
pub(super) fn plan(round: &mut Round<'_>) -> bool {
    let PlanInput { pod, observed, .. } = *round.input;
    let asks = |(kind, container): &(ContainerKind, &Container)| {
        let exit = round.instance(&container.name).and_then(|instance| instance.state.exit());
        exit.is_some_and(|exit| {
            restart::after_exit(pod, *kind, container, exit.code) == AfterExit::RestartAll
        })
    };
    let Some((_, source)) = targets(pod).find(asks) else { return false };

    let others = targets(pod).filter(|(_, container)| container.name != source.name);
    for (_, container) in others.chain([(ContainerKind::Regular, source)]) {
        let oldest_first =
            observed.containers.iter().rev().filter(|instance| *instance.name == container.name);
        round.plan.remove.extend(oldest_first.map(|instance| instance.id.clone()));
    }
    for (kind, container) in targets(pod) {
        let live = observed.instances(&container.name).filter(|instance| instance.state.may_run());
        round.plan.kill.extend(live.map(|instance| kill(kind, instance)));
    }
    round.plan.restart_all = Some(source.name.as_str().into());
    true
}

/// Regular containers first, then init containers: the order in which they are removed.
fn targets(pod: &Pod) -> impl Iterator<Item = (ContainerKind, &Container)> {
    let regular = pod::regular_containers(pod).iter().map(|container| (ContainerKind::Regular, container));
    let init =
        pod::init_containers(pod).iter().map(|container| (ContainerKind::of_init(container), container));
    regular.chain(init)
}

fn kill(kind: ContainerKind, instance: &ObservedContainer) -> Kill {
    Kill {
        id: instance.id.clone(),
        name: instance.name.clone(),
        kind: Some(kind),
        reason: KillReason::RestartAll,
        message: format!("Stopping container {} to restart all containers", instance.name),
        grace_seconds: 0,
    }
}
