//! Pods that the API server has bound to this node.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kubeapi::Objects;
use schema::Feature;
use tokio::sync::{mpsc, watch};
use types::corev1::{PodCondition, PodStatus};
use types::{Pod, PodChange, PodRef, PodUid, SourceKind, labels, pod};

use crate::diff;

/// The pods of the API server, as changes beside those of files and the URL.
///
/// Mirror pods are left out: they are images of pods that come from elsewhere.
#[derive(Debug)]
pub struct ApiSource {
    /// Features whose gate is off.
    off: Vec<Feature>,
    known: BTreeMap<PodUid, Known>,
}

/// A pod that was handed on.
#[derive(Clone, Debug)]
struct Known {
    /// As the server has it.
    object: Arc<Pod>,
    /// As it was handed on.
    handed: Arc<Pod>,
}

impl ApiSource {
    /// Pods in which the fields of the features `off` have no effect.
    #[must_use]
    pub fn new(off: &[Feature]) -> Self {
        // A pod with resources of its own cannot run as if it had none: it is refused (`admit`).
        let off = off.iter().copied().filter(|feature| *feature != Feature::PodLevelResources);
        Self { off: off.collect(), known: BTreeMap::new() }
    }

    /// Sends what changes in `objects`, until nobody listens or the future is dropped. As long as the server has not
    /// told what it has, this source is not seen.
    pub async fn run(
        mut self,
        mut objects: watch::Receiver<Option<Arc<Objects<Pod>>>>,
        changes: mpsc::Sender<PodChange>,
    ) {
        let mut seen = false;
        loop {
            let now = objects.borrow_and_update().clone();
            if let Some(now) = now {
                let news = self.changes(&now, &format!("{:.9}", Timestamp::now()));
                drop(now);
                let first = (!seen).then_some(PodChange::Seen { source: SourceKind::Api, whole: true });
                seen = true;
                for change in news.into_iter().chain(first) {
                    if changes.send(change).await.is_err() {
                        return;
                    }
                }
            }
            if objects.changed().await.is_err() {
                // Nothing will be told any more; the pods stay as they are.
                changes.closed().await;
                return;
            }
        }
    }

    /// What leads from the pods that were handed on to `objects`: first what goes, then what comes, in the order of
    /// its creation, then what is another now.
    fn changes(&mut self, objects: &Objects<Pod>, now: &str) -> Vec<PodChange> {
        let mut new = BTreeMap::new();
        let (mut added, mut updated) = (Vec::new(), Vec::new());
        for object in objects.values().filter(|object| is_for_workers(object)) {
            let uid = PodRef::of(object).uid;
            let known = self.known.get(&uid);
            if let Some(known) = known.filter(|known| same(&known.object, object)) {
                new.insert(uid, Known { object: Arc::clone(object), handed: Arc::clone(&known.handed) });
                continue;
            }
            let seen = known.and_then(|known| pod::annotation(&known.handed, labels::CONFIG_SEEN));
            let handed = Arc::new(self.handed(object, seen.unwrap_or(now)));
            let list = if known.is_some() { &mut updated } else { &mut added };
            list.push(Arc::clone(&handed));
            new.insert(uid, Known { object: Arc::clone(object), handed });
        }
        added.sort_by_key(|pod| {
            (pod.metadata.creation_timestamp.as_ref().map(|time| time.0), pod.metadata.name.clone())
        });
        let gone = self.known.iter().filter(|(uid, _)| !new.contains_key(*uid));
        let mut changes: Vec<_> = gone.map(|(_, gone)| PodChange::Remove(PodRef::of(&gone.handed))).collect();
        changes.extend(added.into_iter().chain(updated).map(PodChange::Set));
        self.known = new;
        changes
    }

    /// The pod as workers get it: with the node's own annotations, and without its status, of which whoever derives the
    /// next one has the latest. Only the phase is left: what has ended is not begun again.
    fn handed(&self, object: &Pod, seen: &str) -> Pod {
        let phase = object.status.as_ref().and_then(|status| status.phase.clone());
        let mut pod = Pod {
            metadata: object.metadata.clone(),
            spec: object.spec.clone(),
            status: Some(PodStatus { phase, ..PodStatus::default() }),
        };
        let annotations = pod.metadata.annotations.get_or_insert_default();
        annotations.insert(labels::CONFIG_SOURCE.to_owned(), SourceKind::Api.as_str().to_owned());
        annotations.insert(labels::CONFIG_SEEN.to_owned(), seen.to_owned());
        schema::drop_disabled(&mut pod, &self.off);
        pod
    }
}

/// Whether the pod is one that can be run: no mirror pod, and with all that makes a pod. No API server lets another one
/// pass.
fn is_for_workers(object: &Pod) -> bool {
    let text = |field: &Option<String>| field.as_ref().is_some_and(|text| !text.is_empty());
    let meta = &object.metadata;
    !pod::is_mirror(object)
        && text(&meta.uid)
        && text(&meta.name)
        && text(&meta.namespace)
        && !pod::regular_containers(object).is_empty()
}

/// Whether nothing that matters to a worker is different. Of the status, that is what others decide: the conditions
/// that the pod's readiness waits for, and whether it has ended.
fn same(old: &Arc<Pod>, new: &Arc<Pod>) -> bool {
    Arc::ptr_eq(old, new)
        || (diff::same(old, new)
            && gates(old).eq(gates(new))
            && pod::is_terminal(old) == pod::is_terminal(new))
}

/// The conditions of the pod's readiness gates, in the gates' order.
fn gates(object: &Pod) -> impl Iterator<Item = Option<&PodCondition>> {
    let conditions = || object.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let gates = pod::spec(object).readiness_gates.iter().flatten();
    gates.map(move |gate| conditions().find(|condition| condition.type_ == gate.condition_type))
}

#[cfg(test)]
mod tests;
