//! In which order the containers of a pod are stopped.

use types::{ContainerKind, ObservedContainer, ObservedPod, Pod, pod};

use super::{Kill, KillReason, Termination, grace_seconds};

/// How to stop everything of the pod that lives: all at once but for the sidecars, which follow one by one, the last
/// of the spec first. `grace_override` (seconds) takes the place of the pod's own grace.
#[must_use]
pub fn termination(pod: &Pod, observed: &ObservedPod, grace_override: Option<i64>) -> Termination {
    let sidecars: Vec<&str> = pod::init_containers(pod)
        .iter()
        .filter(|container| ContainerKind::of_init(container) == ContainerKind::Sidecar)
        .map(|container| container.name.as_str())
        .collect();
    let stop = |instance: &ObservedContainer| {
        let known = pod::container(pod, &instance.name);
        let container = known.as_ref().map(|(_, container)| &**container);
        Kill {
            id: instance.id.clone(),
            name: instance.name.clone(),
            kind: known.as_ref().map(|(kind, _)| *kind),
            reason: KillReason::PodStopped,
            message: format!("Stopping container {}", instance.name),
            grace_seconds: grace_seconds(pod, container, KillReason::PodStopped, grace_override),
        }
    };
    let first = observed.live().filter(|instance| !sidecars.contains(&&*instance.name)).map(stop).collect();
    let then = sidecars.iter().rev().map(|name| {
        let live = observed.instances(name).filter(|instance| instance.state.may_run());
        live.map(stop).collect()
    });
    let stages = std::iter::once(first).chain(then).filter(|stage: &Vec<Kill>| !stage.is_empty()).collect();
    Termination { grace_seconds: grace_seconds(pod, None, KillReason::PodStopped, grace_override), stages }
}
