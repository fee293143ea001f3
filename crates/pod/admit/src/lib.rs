//! Admission: may this pod run on this node, next to those that do.
//!
//! Decides: [`admit()`], a chain of checks of which the first that fails gives the reason; and for a critical pod that
//! does not fit, which others have to go ([`Verdict::Preempt`]).
//!
//! Tasks: none. A pod's worker asks once, before it does anything for the pod.
//!
//! Does not: look at pressure on the node (`eviction`), hand out devices or exclusive CPUs, kill anything.

mod affinity;
mod apparmor;
mod fit;
mod input;
mod ports;
mod preempt;
mod sysctl;
mod taint;
#[cfg(test)]
mod tests;
mod verdict;

pub use input::{AdmitInput, Node};
pub use verdict::{Reject, Verdict, preempting};

use fit::Shortage;
use types::{PodRef, pod};

/// Whether the pod may run here.
#[must_use]
pub fn admit(input: &AdmitInput<'_>) -> Verdict {
    match decide(input) {
        Ok(None) => Verdict::Run,
        Ok(Some(room)) => Verdict::Preempt { victims: room.victims, resource: room.resource },
        Err(reject) => Verdict::Reject(reject),
    }
}

/// Whom a pod takes the room of.
struct Room {
    victims: Vec<PodRef>,
    resource: String,
}

fn decide(input: &AdmitInput<'_>) -> Result<Option<Room>, Reject> {
    sysctl::check(input)?;
    operating_system(input)?;
    supplemental_groups(input)?;
    let room = room(input)?;
    apparmor::check(input)?;
    pod_resources(input)?;
    if input.node.shutting_down {
        return Err(Reject::new("NodeShutdown", "the node is shutting down"));
    }
    Ok(room)
}

fn operating_system(input: &AdmitInput<'_>) -> Result<(), Reject> {
    const LINUX: &str = "linux";
    let label = input.pod.metadata.labels.as_ref().and_then(|labels| labels.get("kubernetes.io/os"));
    if let Some(label) = label.filter(|label| *label != LINUX) {
        let message = format!("the pod's label kubernetes.io/os is {label:?}, and this is a node of linux");
        return Err(Reject::new("PodOSSelectorNodeLabelDoesNotMatch", message));
    }
    let os = pod::spec(input.pod).os.as_ref().map(|os| os.name.as_str());
    if let Some(os) = os.filter(|os| *os != LINUX) {
        let message = format!("spec.os.name is {os:?}, and this is a node of linux");
        return Err(Reject::new("PodOSNotSupported", message));
    }
    Ok(())
}

fn supplemental_groups(input: &AdmitInput<'_>) -> Result<(), Reject> {
    let context = pod::spec(input.pod).security_context.as_ref();
    let policy = context.and_then(|context| context.supplemental_groups_policy.as_deref());
    if policy == Some("Strict") && !input.node.supplemental_groups_policy {
        return Err(Reject::new(
            "SupplementalGroupsPolicyNotSupported",
            "the pod asks for supplementalGroupsPolicy Strict, which the container runtime does not support",
        ));
    }
    Ok(())
}

/// Without the feature gate, a pod with resources of its own would run as if it had none (KEP-2837).
fn pod_resources(input: &AdmitInput<'_>) -> Result<(), Reject> {
    if pod::spec(input.pod).resources.is_some() && !input.node.pod_level_resources {
        return Err(Reject::new(
            "PodLevelResourcesNotSupported",
            "the pod has resources of its own in spec.resources, and the feature gate PodLevelResources is off",
        ));
    }
    Ok(())
}

/// The checks that the scheduler makes too. When resources are all that is wanting, a critical pod may have others
/// make way for it.
fn room(input: &AdmitInput<'_>) -> Result<Option<Room>, Reject> {
    let shortages = fit::shortages(input);
    let other = affinity::check(input).and_then(|()| ports::check(input)).and_then(|()| taint::check(input));
    let Some(first) = shortages.first() else { return other.map(|()| None) };
    if other.is_ok() && pod::is_critical(input.pod) {
        let victims = preempt::victims(input, &shortages).ok_or_else(|| first.reject())?;
        return Ok(Some(Room { victims, resource: first.resource.clone() }));
    }
    Err(first.reject())
}

impl Shortage {
    fn reject(&self) -> Reject {
        let Self { resource, requested, used, capacity } = self;
        Reject::new(
            format!("OutOf{resource}"),
            format!(
                "Node didn't have enough resource: {resource}, requested: {requested}, used: {used}, capacity: {capacity}"
            ),
        )
    }
}
