//! What a watch of the API server shows of pods, with the time at which each change came: the clock of everything that
//! is measured through an API server.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use kubeapi::{Change, Client, Selection, Watch};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use types::Pod;
use types::corev1::ContainerStatus;

/// How long anything may take. Kubernetes' kubelet looks at a changed ConfigMap after up to two minutes.
const PATIENCE: Duration = Duration::from_secs(240);

/// What a pod looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Not ready, and its container has not ended yet.
    Waiting,
    /// Its condition says that it is ready.
    Ready,
    /// Its container has ended, or runs again after it had.
    Ended,
    /// There is no such pod any more.
    Gone,
}

/// A pod at one time.
#[derive(Clone, Debug)]
struct Sight {
    at: Instant,
    name: String,
    state: State,
}

/// Everything that the watch has shown.
pub(super) struct Seen {
    sights: watch::Receiver<Vec<Sight>>,
}

impl Seen {
    /// Watches all pods. Returns when the watch has begun.
    pub(super) async fn watch(client: &Client) -> Result<Self> {
        let mut pods = Watch::<Pod>::start(client, Selection::default());
        let mut present = BTreeSet::new();
        let first = timeout(PATIENCE, pods.next()).await.context("the watch of pods does not begin")?;
        let first = first.context("the watch of pods has ended")?;
        let (sender, sights) = watch::channel(sights_of(first, &mut present));
        tokio::spawn(async move {
            while let Some(change) = pods.next().await {
                let new = sights_of(change, &mut present);
                sender.send_modify(|sights| sights.extend(new));
            }
        });
        Ok(Self { sights })
    }

    /// How much was seen so far: where a measurement begins.
    pub(super) fn mark(&self) -> usize {
        self.sights.borrow().len()
    }

    /// Waits until the pod was seen like that after `mark`, and returns when.
    pub(super) async fn until(&self, mark: usize, name: &str, state: State) -> Result<Instant> {
        let mut sights = self.sights.clone();
        let wanted = |sight: &&Sight| sight.name == name && sight.state == state;
        let waiting = sights.wait_for(|sights| sights[mark..].iter().any(|sight| wanted(&sight)));
        let sights = timeout(PATIENCE, waiting)
            .await
            .with_context(|| format!("{name} is not {state:?} within {} s", PATIENCE.as_secs()))?
            .context("the watch of pods has ended")?;
        sights[mark..].iter().find(wanted).map(|sight| sight.at).context("what was seen is lost")
    }

    /// Waits until `count` pods were seen like that after `mark`, and returns when each was first.
    pub(super) async fn until_all(&self, mark: usize, count: usize, state: State) -> Result<Vec<Instant>> {
        let mut sights = self.sights.clone();
        let mut seen = BTreeMap::new();
        let mut read = mark;
        let waiting = sights.wait_for(|sights| {
            for sight in sights[read..].iter().filter(|sight| sight.state == state) {
                seen.entry(sight.name.clone()).or_insert(sight.at);
            }
            read = sights.len();
            seen.len() >= count
        });
        match timeout(PATIENCE, waiting).await {
            Ok(found) => drop(found.context("the watch of pods has ended")?),
            Err(_) => {
                anyhow::bail!("{} of {count} pods are {state:?} after {} s", seen.len(), PATIENCE.as_secs())
            }
        }
        Ok(seen.into_values().collect())
    }
}

/// What a change shows. `present` are the pods that there are.
fn sights_of(change: Change<Pod>, present: &mut BTreeSet<String>) -> Vec<Sight> {
    let at = Instant::now();
    let name = |pod: &Pod| pod.metadata.name.clone().unwrap_or_default();
    let sight = |pod: &Arc<Pod>| Sight { at, name: name(pod), state: state_of(pod) };
    match change {
        Change::Applied(pod) => {
            present.insert(name(&pod));
            vec![sight(&pod)]
        }
        Change::Deleted(pod) => {
            present.remove(&name(&pod));
            vec![Sight { at, name: name(&pod), state: State::Gone }]
        }
        Change::Listed(pods) => {
            let listed: BTreeSet<_> = pods.iter().map(|pod| name(pod)).collect();
            let gone = std::mem::replace(present, listed);
            let gone =
                gone.difference(present).map(|name| Sight { at, name: name.clone(), state: State::Gone });
            gone.chain(pods.iter().map(sight)).collect()
        }
    }
}

fn state_of(pod: &Pod) -> State {
    let Some(status) = &pod.status else { return State::Waiting };
    let ended = |container: &ContainerStatus| {
        let has_ended = |state: &Option<types::corev1::ContainerState>| {
            state.as_ref().is_some_and(|state| state.terminated.is_some())
        };
        container.restart_count > 0 || has_ended(&container.state) || has_ended(&container.last_state)
    };
    let ready = || {
        let mut conditions = status.conditions.iter().flatten();
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
    };
    if status.container_statuses.iter().flatten().any(ended) {
        State::Ended
    } else if ready() {
        State::Ready
    } else {
        State::Waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, status: serde_json::Value) -> Arc<Pod> {
        Arc::new(serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).unwrap())
    }

    #[test]
    fn a_pod_is_what_its_status_says() {
        let container = |more: serde_json::Value| {
            let mut status =
                json!({"name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0});
            status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            state_of(&pod("a", json!({"containerStatuses": [status]})))
        };
        assert_eq!(container(json!({"state": {"running": {}}})), State::Waiting);
        assert_eq!(container(json!({"state": {"terminated": {"exitCode": 137}}})), State::Ended);
        assert_eq!(container(json!({"restartCount": 1, "state": {"running": {}}})), State::Ended);
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        assert_eq!(state_of(&pod("a", ready)), State::Ready);
    }

    #[tokio::test]
    async fn a_list_tells_what_is_gone() {
        let mut present = BTreeSet::new();
        sights_of(Change::Applied(pod("a", json!({}))), &mut present);
        sights_of(Change::Applied(pod("b", json!({}))), &mut present);
        let sights = sights_of(Change::Listed(vec![pod("b", json!({}))]), &mut present);
        let seen: Vec<_> = sights.iter().map(|sight| (sight.name.as_str(), sight.state)).collect();
        assert_eq!(seen, [("a", State::Gone), ("b", State::Waiting)]);
    }
}
