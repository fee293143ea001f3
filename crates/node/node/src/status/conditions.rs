//! The node's conditions: MemoryPressure, DiskPressure, PIDPressure, and Ready after them.

use jiff::Timestamp;
use types::corev1::{NodeCondition, NodeStatus};
use types::k8s::apimachinery::pkg::apis::meta::v1::Time;
use types::reason::node as reason;

use crate::facts::{Inputs, Pressure};

/// The types of the conditions that are the node agent's.
pub(crate) const OWNED: [&str; 4] = ["MemoryPressure", "DiskPressure", "PIDPressure", READY];
const READY: &str = "Ready";

/// What a condition should say.
struct Verdict {
    holds: bool,
    reason: &'static str,
    message: String,
}

/// Sets the node's conditions. Their heartbeat is `now`; the time of their last transition changes with their status.
pub(super) fn set(status: &mut NodeStatus, inputs: Inputs<'_>, now: Timestamp) {
    let booted = status.node_info.as_ref().is_some_and(|info| info.boot_id != inputs.facts.machine.boot_id);
    let conditions = status.conditions.get_or_insert_default();
    for (type_, pressure) in OWNED.into_iter().zip([Pressure::Memory, Pressure::Disk, Pressure::Pid]) {
        let under = inputs.strain.pressures.contains(&pressure);
        put(conditions, type_, self::pressure(pressure, under), now);
    }
    // Nothing is known of the runtime right after a restart of the agent. What was said before holds until then, unless
    // the machine itself was started anew.
    let said = conditions.iter_mut().find(|condition| condition.type_ == READY);
    match said {
        Some(said) if !inputs.runtime.known && !booted && inputs.strain.obstacles.is_empty() => {
            said.last_heartbeat_time = Some(Time(now));
        }
        _ => put(conditions, READY, ready(inputs), now),
    }
}

fn pressure(pressure: Pressure, under: bool) -> Verdict {
    let (reason, message) = match (pressure, under) {
        (Pressure::Memory, false) => (reason::KUBELET_HAS_SUFFICIENT_MEMORY, "there is enough memory"),
        (Pressure::Memory, true) => (reason::KUBELET_HAS_INSUFFICIENT_MEMORY, "memory is short"),
        (Pressure::Disk, false) => {
            (reason::KUBELET_HAS_NO_DISK_PRESSURE, "there is enough room on the disks")
        }
        (Pressure::Disk, true) => (reason::KUBELET_HAS_DISK_PRESSURE, "a disk is nearly full"),
        (Pressure::Pid, false) => (reason::KUBELET_HAS_SUFFICIENT_PID, "there are enough process ids"),
        (Pressure::Pid, true) => (reason::KUBELET_HAS_INSUFFICIENT_PID, "process ids are short"),
    };
    Verdict { holds: under, reason, message: message.to_owned() }
}

/// Whether pods can run: the runtime and its network work, and nothing else is in the way.
fn ready(inputs: Inputs<'_>) -> Verdict {
    let causes: Vec<&str> =
        inputs.runtime.reasons.iter().chain(inputs.strain.obstacles.values()).map(String::as_str).collect();
    let message = match causes[..] {
        [] => "pods can run".to_owned(),
        [cause] => cause.to_owned(),
        _ => format!("[{}]", causes.join(", ")),
    };
    let holds = causes.is_empty();
    let reason = if holds { reason::KUBELET_READY } else { reason::KUBELET_NOT_READY };
    Verdict { holds, reason, message }
}

/// Puts what a condition should say in its place, or at the end.
fn put(conditions: &mut Vec<NodeCondition>, type_: &str, verdict: Verdict, now: Timestamp) {
    let Verdict { holds, reason, message } = verdict;
    let status = if holds { "True" } else { "False" };
    let place = conditions.iter().position(|condition| condition.type_ == type_);
    let before = place.map(|place| &conditions[place]).filter(|before| before.status == status);
    let since = before.and_then(|before| before.last_transition_time.clone());
    let condition = NodeCondition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(since.unwrap_or(Time(now))),
    };
    match place {
        Some(place) => conditions[place] = condition,
        None => conditions.push(condition),
    }
}
