//! Whether the pod's sandbox will do, and what follows when it will not.

use types::observed::NamespaceMode;
use types::restart::{self, AfterExit};
use types::{
    Container, ContainerKind, ContainerState, ObservedPod, ObservedSandbox, Pod, SandboxId, SandboxState, pod,
};

use super::round::Round;
use super::{Plan, PlanInput, Sandbox, end};

/// What to do about the sandbox.
pub(super) enum Verdict<'a> {
    /// Containers can be started in it.
    Fit(&'a ObservedSandbox),
    /// It is missing or of no use.
    Replace {
        /// The number of the sandbox that would take its place.
        attempt: u32,
    },
}

/// Judges the sandboxes of a pod.
pub(super) fn judge<'a>(pod: &Pod, observed: &'a ObservedPod) -> Verdict<'a> {
    let Some(newest) = observed.sandboxes.first() else { return Verdict::Replace { attempt: 0 } };
    let ready = observed.sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready).count();
    let wanted = if pod::host_network(pod) { NamespaceMode::Node } else { NamespaceMode::Pod };
    // A sandbox that was only listed, not inspected, has no network to judge by.
    let network_fits = newest
        .network
        .is_none_or(|mode| mode == wanted && (wanted == NamespaceMode::Node || !newest.ips.is_empty()));
    if newest.state == SandboxState::Ready && ready == 1 && network_fits {
        Verdict::Fit(newest)
    } else {
        Verdict::Replace { attempt: newest.attempt.saturating_add(1) }
    }
}

/// Sandboxes that have to be stopped before nothing of the pod is left: those that are ready and, if the pod still
/// had to do with it (`in_use`), the newest one even when it is not, because its network may not be undone yet.
pub(super) fn to_stop(observed: &ObservedPod, in_use: bool) -> Vec<SandboxId> {
    let stops = |(index, sandbox): &(usize, &ObservedSandbox)| {
        sandbox.state == SandboxState::Ready || (in_use && *index == 0)
    };
    observed.sandboxes.iter().enumerate().filter(stops).map(|(_, sandbox)| sandbox.id.clone()).collect()
}

/// The plan for a pod whose sandbox is missing or of no use: a new one, in which the pod begins again from its first
/// init container, unless there is nothing left for it to do.
pub(super) fn replace(input: &PlanInput<'_>, attempt: u32) -> Plan {
    let PlanInput { pod, observed, .. } = *input;
    if !may_begin_again(pod, observed, attempt) {
        return end(input);
    }
    let wanted: Vec<&Container> = pod::regular_containers(pod)
        .iter()
        .filter(|container| starts_again(pod, observed, container))
        .collect();
    if wanted.is_empty() {
        return end(input);
    }
    let stop_sandboxes = to_stop(observed, true);
    let mut round = Round::without_sandbox(input);
    round.plan.kill_pod = observed.live().next().is_some() || !stop_sandboxes.is_empty();
    round.plan.stop_sandboxes = stop_sandboxes;
    round.plan.sandbox = Sandbox::Create { attempt };
    // They would be taken for those of the new sandbox by kubelets that do not tell sandboxes apart.
    let old = observed.containers.iter().rev().filter(|instance| is_init(pod, &instance.name));
    round.plan.remove = old.map(|instance| instance.id.clone()).collect();
    if let Some(first) = pod::init_containers(pod).first() {
        round.start(ContainerKind::of_init(first), first, None);
    } else {
        for container in wanted {
            round.start(ContainerKind::Regular, container, None);
        }
    }
    round.finish()
}

/// Whether the pod has the right to go on in a new sandbox. It has not when an init container failed for good, or
/// when nothing in it may be restarted and something was started in an earlier sandbox.
fn may_begin_again(pod: &Pod, observed: &ObservedPod, attempt: u32) -> bool {
    let failed_for_good = pod::init_containers(pod).iter().any(|container| {
        let kind = ContainerKind::of_init(container);
        let exit = observed.newest(&container.name).and_then(|instance| instance.state.exit());
        exit.is_some_and(|exit| {
            exit.code != 0 && restart::after_exit(pod, kind, container, exit.code) == AfterExit::Stay
        })
    });
    let init =
        pod::init_containers(pod).iter().map(|container| (ContainerKind::of_init(container), container));
    let regular = pod::regular_containers(pod).iter().map(|container| (ContainerKind::Regular, container));
    let restartable = init
        .chain(regular)
        .filter(|(kind, _)| *kind != ContainerKind::Sidecar)
        .any(|(kind, container)| restart::is_restartable(pod, kind, container));
    !failed_for_good && (restartable || attempt == 0 || observed.containers.is_empty())
}

/// Whether a regular container has a start to come once the old sandbox is gone.
fn starts_again(pod: &Pod, observed: &ObservedPod, container: &Container) -> bool {
    let kind = ContainerKind::Regular;
    match observed.newest(&container.name).map(|instance| &instance.state) {
        None | Some(ContainerState::Created) => true,
        Some(ContainerState::Exited(exit)) => {
            restart::after_exit(pod, kind, container, exit.code) != AfterExit::Stay
        }
        // It dies with the sandbox; how is not known yet.
        Some(ContainerState::Running { .. } | ContainerState::Unknown) => {
            restart::is_restartable(pod, kind, container)
        }
    }
}

fn is_init(pod: &Pod, name: &str) -> bool {
    pod::init_containers(pod).iter().any(|container| container.name == name)
}
