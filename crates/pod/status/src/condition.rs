//! The conditions of a pod (Kubernetes: "Pod Lifecycle: Pod conditions", "Pod readiness").

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use types::reason::pod as reason;
use types::restart::{self, AfterExit};
use types::{ContainerKind, Ended, SandboxState, pod};

use crate::DeriveInput;
use crate::container::{is_running, last_end, terminated_state};
use crate::phase::Phase;

/// The conditions that the node agent writes.
pub(crate) const OWN: [&str; 6] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "AllContainersRestarting",
];
/// Written by the node agent when it ends a pod for the node's sake, and by others for theirs.
pub(crate) const DISRUPTION_TARGET: &str = "DisruptionTarget";
/// Its reason when the node agent wrote it.
pub(crate) const BY_KUBELET: &str = "TerminationByKubelet";

/// What a condition says.
#[derive(Clone, Default)]
struct Finding {
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Finding {
    fn yes() -> Self {
        Self { holds: true, ..Self::default() }
    }

    fn no(reason: &'static str) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }
}

/// All conditions: those of others as they were, then ours.
pub(crate) fn conditions(
    input: &DeriveInput<'_>,
    phase: Phase,
    statuses: &[(ContainerKind, ContainerStatus)],
) -> Vec<PodCondition> {
    let old = input.previous.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    // Said with the final phase and not before, when it is certain.
    let disrupted = input.ended.filter(|ended| ended.disruption && phase.is_terminal());
    let ours = |kind: &str| OWN.contains(&kind) || (kind == DISRUPTION_TARGET && disrupted.is_some());
    let others = input.server.map_or(old, |status| status.conditions.as_deref().unwrap_or_default());
    let mut all: Vec<PodCondition> =
        others.iter().filter(|condition| !ours(&condition.type_)).cloned().collect();

    let containers_ready = containers_ready(phase, statuses);
    let ready = ready(input, &containers_ready, &all);
    let mut found = vec![
        ("PodReadyToStartContainers", sandbox_ready(input)),
        ("Initialized", initialized(phase, statuses)),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        ("PodScheduled", Finding::yes()),
    ];
    if restart::may_restart_all(input.pod) {
        found.push(("AllContainersRestarting", restarting_all(input)));
    }
    if let Some(Ended { message, .. }) = disrupted {
        let finding = Finding { holds: true, reason: Some(BY_KUBELET), message: Some(message.clone()) };
        found.push((DISRUPTION_TARGET, finding));
    }
    all.extend(found.into_iter().map(|(kind, finding)| {
        let old = old.iter().find(|condition| condition.type_ == kind);
        condition(kind, finding, old, input.pod.metadata.generation, input.now)
    }));
    all
}

fn condition(
    kind: &str,
    finding: Finding,
    old: Option<&PodCondition>,
    generation: Option<i64>,
    now: Timestamp,
) -> PodCondition {
    let status = if finding.holds { "True" } else { "False" };
    let since = old.filter(|old| old.status == status).and_then(|old| old.last_transition_time.clone());
    PodCondition {
        last_probe_time: None,
        last_transition_time: Some(since.unwrap_or(Time(now))),
        message: finding.message,
        observed_generation: generation,
        reason: finding.reason.map(ToOwned::to_owned),
        status: status.to_owned(),
        type_: kind.to_owned(),
    }
}

/// Whether containers can be started: there is one sandbox that is ready, and its network is up.
fn sandbox_ready(input: &DeriveInput<'_>) -> Finding {
    let sandboxes = &input.observed.sandboxes;
    let ready = sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready).count();
    let holds = ready == 1
        && sandboxes.first().is_some_and(|newest| {
            newest.state == SandboxState::Ready
                && (pod::host_network(input.pod) || newest.network.is_none() || !newest.ips.is_empty())
        });
    Finding { holds, ..Finding::default() }
}

fn initialized(phase: Phase, statuses: &[(ContainerKind, ContainerStatus)]) -> Finding {
    if phase == Phase::Succeeded {
        return Finding { reason: Some(reason::POD_COMPLETED), ..Finding::yes() };
    }
    let began = |status: &ContainerStatus| {
        is_running(status) || terminated_state(status).is_some() || last_end(status).is_some()
    };
    if statuses.iter().any(|(kind, status)| *kind == ContainerKind::Regular && began(status)) {
        return Finding::yes();
    }
    let incomplete = statuses.iter().filter(|(kind, status)| match kind {
        ContainerKind::Init => !status.ready,
        ContainerKind::Sidecar => status.started != Some(true),
        ContainerKind::Regular | ContainerKind::Ephemeral => false,
    });
    let names = names(incomplete);
    if names.is_empty() {
        return Finding::yes();
    }
    let message = format!("containers with incomplete status: [{names}]");
    Finding { message: Some(message), ..Finding::no(reason::CONTAINERS_NOT_INITIALIZED) }
}

fn containers_ready(phase: Phase, statuses: &[(ContainerKind, ContainerStatus)]) -> Finding {
    match phase {
        Phase::Succeeded => return Finding::no(reason::POD_COMPLETED),
        Phase::Failed => return Finding::no(reason::POD_FAILED),
        Phase::Pending | Phase::Running => {}
    }
    let unready = statuses.iter().filter(|(kind, status)| {
        matches!(kind, ContainerKind::Sidecar | ContainerKind::Regular) && !status.ready
    });
    let names = names(unready);
    if names.is_empty() {
        return Finding::yes();
    }
    let message = format!("containers with unready status: [{names}]");
    Finding { message: Some(message), ..Finding::no(reason::CONTAINERS_NOT_READY) }
}

fn ready(input: &DeriveInput<'_>, containers_ready: &Finding, others: &[PodCondition]) -> Finding {
    if !containers_ready.holds {
        return containers_ready.clone();
    }
    let gates = pod::spec(input.pod).readiness_gates.iter().flatten();
    let missing: Vec<String> = gates
        .filter_map(|gate| {
            let kind = &gate.condition_type;
            match others.iter().find(|condition| condition.type_ == *kind) {
                None => Some(format!("the pod has no condition {kind:?} for its readiness gate")),
                Some(condition) if condition.status != "True" => {
                    Some(format!("the condition {kind:?} of a readiness gate is {:?}", condition.status))
                }
                Some(_) => None,
            }
        })
        .collect();
    if missing.is_empty() {
        return Finding::yes();
    }
    Finding { message: Some(missing.join(", ")), ..Finding::no(reason::READINESS_GATES_NOT_READY) }
}

fn restarting_all(input: &DeriveInput<'_>) -> Finding {
    let restarts = pod::containers(input.pod).any(|(kind, container)| {
        let exit = input.observed.newest(&container.name).and_then(|newest| newest.state.exit());
        exit.is_some_and(|exit| {
            restart::after_exit(input.pod, kind, &container, exit.code) == AfterExit::RestartAll
        })
    });
    let reason = restarts.then_some(reason::RESTART_ALL_CONTAINERS_STARTED);
    Finding { holds: restarts, reason, message: None }
}

fn names<'a>(statuses: impl Iterator<Item = &'a (ContainerKind, ContainerStatus)>) -> String {
    statuses.map(|(_, status)| status.name.as_str()).collect::<Vec<_>>().join(" ")
}
