//! What the runtime has of pods, put together from several calls.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::future::try_join;
use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use types::observed::NamespaceMode;
use types::{ContainerState, ObservedContainer, ObservedPod, ObservedSandbox, PodRef, PodUid, SandboxState};

use crate::{CriError, CriErrorKind, Runtime};

/// How many status calls are under way at once for one pod.
const STATUS_CALLS: usize = 16;

/// How many instances of one container, and how many sandboxes, are looked at closely: this one and the last one.
const INSPECTED: usize = 2;

impl Runtime {
    /// All pods that the runtime has anything of, from two calls. What a list does not tell (see
    /// [`Runtime::list_containers`] and [`Runtime::list_pod_sandboxes`]) is not known here either.
    pub async fn list_pods(&self) -> Result<Vec<ObservedPod>, CriError> {
        let (sandboxes, containers) =
            try_join(self.list_pod_sandboxes(None), self.list_containers(None)).await?;
        Ok(group(sandboxes, containers))
    }

    /// All that the runtime tells of one pod: its sandboxes and containers, of which the two newest sandboxes and the
    /// two newest instances of each container are asked for in full. Not again, though, if `known` has them in the
    /// state in which they are listed: no detail changes while a sandbox is ready, or a container runs or has ended
    /// (but see [`types::Exit::may_be_out_of_memory`]). Whoever changes a container's resources asks without `known`.
    pub async fn observe(&self, pod: &PodRef, known: Option<&ObservedPod>) -> Result<ObservedPod, CriError> {
        let (sandboxes, containers) =
            try_join(self.list_pod_sandboxes(Some(&pod.uid)), self.list_containers(Some(&pod.uid))).await?;
        let mut observed = ObservedPod {
            pod: pod.clone(),
            sandboxes: sandboxes.into_iter().map(|(_, sandbox)| sandbox).collect(),
            containers: containers.into_iter().map(|(_, container)| container).collect(),
        };
        newest_first(&mut observed);
        let (sandboxes, containers) = try_join(
            self.inspect_sandboxes(observed.sandboxes, known),
            self.inspect_containers(observed.containers, known),
        )
        .await?;
        Ok(ObservedPod { pod: observed.pod, sandboxes, containers })
    }

    async fn inspect_sandboxes(
        &self,
        listed: Vec<ObservedSandbox>,
        known: Option<&ObservedPod>,
    ) -> Result<Vec<ObservedSandbox>, CriError> {
        stream::iter(listed.into_iter().enumerate())
            .map(|(age, sandbox)| async move {
                if age >= INSPECTED {
                    return Ok(Some(sandbox));
                }
                if let Some(known) = known.and_then(|known| same_sandbox(known, &sandbox)) {
                    return Ok(Some(known.clone()));
                }
                gone_is_none(self.pod_sandbox_status(&sandbox.id).await)
            })
            .buffered(STATUS_CALLS)
            .try_filter_map(|sandbox| async move { Ok(sandbox) })
            .try_collect()
            .await
    }

    async fn inspect_containers(
        &self,
        listed: Vec<ObservedContainer>,
        known: Option<&ObservedPod>,
    ) -> Result<Vec<ObservedContainer>, CriError> {
        let mut instances: HashMap<Arc<str>, usize> = HashMap::new();
        let listed: Vec<_> = listed
            .into_iter()
            .map(|container| {
                let age = instances.entry(Arc::clone(&container.name)).or_default();
                *age += 1;
                (*age <= INSPECTED, container)
            })
            .collect();
        stream::iter(listed)
            .map(|(inspect, container)| async move {
                if !inspect {
                    return Ok(Some(container));
                }
                if let Some(known) = known.and_then(|known| same_container(known, &container)) {
                    return Ok(Some(known.clone()));
                }
                // The status does not tell the sandbox; the list has.
                let status = self.container_status(&container.id).await;
                gone_is_none(
                    status.map(|status| ObservedContainer { sandbox: container.sandbox.clone(), ..status }),
                )
            })
            .buffered(STATUS_CALLS)
            .try_filter_map(|container| async move { Ok(container) })
            .try_collect()
            .await
    }
}

/// The sandbox as it is known, if it was inspected in the state in which it is listed.
fn same_sandbox<'a>(known: &'a ObservedPod, listed: &ObservedSandbox) -> Option<&'a ObservedSandbox> {
    let known = known.sandboxes.iter().find(|sandbox| sandbox.id == listed.id)?;
    // One on a network of its own is ready before it has its addresses.
    let complete = match known.network {
        None => false,
        Some(NamespaceMode::Node) => true,
        Some(_) => known.state == SandboxState::NotReady || !known.ips.is_empty(),
    };
    (complete && known.state == listed.state).then_some(known)
}

/// The container as it is known, if it was inspected in the state in which it is listed.
fn same_container<'a>(known: &'a ObservedPod, listed: &ObservedContainer) -> Option<&'a ObservedContainer> {
    use ContainerState::{Exited, Running};
    let known = known.containers.iter().find(|container| container.id == listed.id)?;
    let same =
        matches!((&known.state, &listed.state), (Running { .. }, Running { .. }) | (Exited(_), Exited(_)));
    let settled = known.state.exit().is_none_or(|exit| !exit.may_be_out_of_memory(Timestamp::now()));
    (same && known.is_inspected() && settled).then_some(known)
}

/// What was listed and then removed was not there.
fn gone_is_none<T>(status: Result<T, CriError>) -> Result<Option<T>, CriError> {
    match status {
        Ok(status) => Ok(Some(status)),
        Err(error) if error.kind == CriErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Orders sandboxes and containers from the newest to the oldest.
pub(crate) fn newest_first(pod: &mut ObservedPod) {
    pod.sandboxes.sort_by_key(|sandbox| Reverse((sandbox.created_at, sandbox.attempt)));
    pod.containers.sort_by_key(|container| Reverse((container.created_at, container.restart_count)));
}

/// Puts together what belongs to the same pod UID.
fn group(
    sandboxes: Vec<(PodRef, ObservedSandbox)>,
    containers: Vec<(PodRef, ObservedContainer)>,
) -> Vec<ObservedPod> {
    let mut pods: BTreeMap<PodUid, ObservedPod> = BTreeMap::new();
    for (pod, sandbox) in sandboxes {
        entry(&mut pods, pod).sandboxes.push(sandbox);
    }
    for (pod, container) in containers {
        entry(&mut pods, pod).containers.push(container);
    }
    let mut pods: Vec<_> = pods.into_values().collect();
    pods.iter_mut().for_each(newest_first);
    pods
}

fn entry(pods: &mut BTreeMap<PodUid, ObservedPod>, pod: PodRef) -> &mut ObservedPod {
    pods.entry(pod.uid.clone()).or_insert_with(|| ObservedPod::absent(pod))
}
