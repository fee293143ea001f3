//! The whole status, put together.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{HostIP, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use types::{ContainerKind, QosClass, pod};

use crate::condition::conditions;
use crate::normalise::normalise;
use crate::phase::{self, Phase};
use crate::{DeriveInput, Life, container};

/// The status of a pod. A phase that is final is only shown once nothing of the pod may run ([`Life::Terminated`]),
/// and never changes again. Deriving again from the result as `previous` gives the same result.
#[must_use]
pub fn derive(input: &DeriveInput<'_>) -> PodStatus {
    let statuses = container::statuses(input);
    let (phase, final_by) = phase_of(input, phase::of(input.pod, &statuses, input.life));
    let (reason, message) = match final_by {
        Final::Now => input.ended.map(|ended| (Some(ended.reason.clone()), Some(ended.message.clone()))),
        Final::Before => before(input).map(|(_, old)| (old.reason.clone(), old.message.clone())),
        Final::No => None,
    }
    .unwrap_or_default();
    let conditions = conditions(input, phase, &statuses);
    let of_kind = |kinds: &[ContainerKind]| {
        let list = statuses.iter().filter(|(kind, _)| kinds.contains(kind)).map(|(_, status)| status.clone());
        Some(list.collect::<Vec<_>>()).filter(|list| !list.is_empty())
    };
    let ips = ips(input);
    let mut status = PodStatus {
        conditions: Some(conditions),
        container_statuses: of_kind(&[ContainerKind::Regular]),
        ephemeral_container_statuses: of_kind(&[ContainerKind::Ephemeral]),
        host_ip: input.host_ips.first().map(ToString::to_string),
        host_ips: non_empty(input.host_ips.iter().map(|ip| HostIP { ip: ip.to_string() }).collect()),
        init_container_statuses: of_kind(&[ContainerKind::Init, ContainerKind::Sidecar]),
        message,
        observed_generation: input.pod.metadata.generation,
        phase: Some(phase.as_str().to_owned()),
        pod_ip: ips.first().cloned(),
        pod_ips: non_empty(ips.into_iter().map(|ip| PodIP { ip }).collect()),
        qos_class: Some(QosClass::of(input.pod).as_str().to_owned()),
        reason,
        start_time: Some(
            input.previous.and_then(|old| old.start_time.clone()).unwrap_or_else(|| start_time(input)),
        ),
        // What others write stays as it is.
        ..input.server.or(input.previous).cloned().unwrap_or_default()
    };
    normalise(&mut status);
    status
}

/// Whether the pod has come to its end: by itself, because none of its containers will be started again, or by the
/// node ([`DeriveInput::ended`]). What of it still lives has to be stopped; only then does its phase say so.
#[must_use]
pub fn is_over(input: &DeriveInput<'_>) -> bool {
    before(input).is_some()
        || input.ended.is_some()
        || phase::of(input.pod, &container::statuses(input), input.life).is_terminal()
}

/// The final phase that the pod has already, and the status that says so: ours, or the API server's, where others end
/// pods too.
fn before<'a>(input: &DeriveInput<'a>) -> Option<(Phase, &'a PodStatus)> {
    [input.previous, input.server].into_iter().flatten().find_map(|status| {
        let phase = Phase::parse(status.phase.as_deref()?)?;
        phase.is_terminal().then_some((phase, status))
    })
}

/// Whence the phase is final.
enum Final {
    /// It is not.
    No,
    /// The previous status had it.
    Before,
    /// It has become so.
    Now,
}

fn phase_of(input: &DeriveInput<'_>, computed: Phase) -> (Phase, Final) {
    let previous = input.previous.and_then(|old| Phase::parse(old.phase.as_deref()?));
    if let Some((phase, _)) = before(input) {
        return (phase, Final::Before);
    }
    let may_run = input.life != Life::Terminated || input.observed.live().next().is_some();
    let verdict = match (input.ended, computed) {
        // Containers that ended well were told to end.
        (Some(_), _) => Phase::Failed,
        // A pod that is over without having come to an end of its own has failed.
        (None, Phase::Pending | Phase::Running) if input.life == Life::Terminated => Phase::Failed,
        (None, computed) => computed,
    };
    if !verdict.is_terminal() {
        (verdict, Final::No)
    } else if may_run {
        let started = !input.observed.containers.is_empty();
        (previous.unwrap_or(if started { Phase::Running } else { Phase::Pending }), Final::No)
    } else {
        (verdict, Final::Now)
    }
}

/// The pod's IPs, at most one per family, in the order of the node's. They outlive the sandbox of a pod that stops or
/// has ended.
fn ips(input: &DeriveInput<'_>) -> Vec<String> {
    let previous = input.previous.and_then(|old| old.pod_ips.as_deref()).unwrap_or_default();
    let previous = || previous.iter().map(|ip| ip.ip.clone()).collect::<Vec<_>>();
    if pod::host_network(input.pod) {
        // Those once shown stay; a family that the node gains later is added.
        let mut ips = previous();
        if ips.len() < input.host_ips.len() {
            ips.extend(input.host_ips[ips.len()..].iter().map(ToString::to_string));
        }
        return ips;
    }
    let ips = input.observed.ips();
    if ips.is_empty() {
        let lives = input.life == Life::Running && before(input).is_none();
        return if lives { Vec::new() } else { previous() };
    }
    let v6_first = input.host_ips.first().is_some_and(IpAddr::is_ipv6);
    let first_of = |v6: bool| ips.iter().find(|ip| ip.is_ipv6() == v6).map(ToString::to_string);
    [v6_first, !v6_first].into_iter().filter_map(first_of).collect()
}

fn non_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

/// When the pod was taken up, as far as the runtime still knows after a restart of berth: with its oldest sandbox.
fn start_time(input: &DeriveInput<'_>) -> Time {
    let oldest = input.observed.sandboxes.iter().map(|sandbox| sandbox.created_at).min();
    Time(oldest.unwrap_or(input.now).min(input.now))
}
