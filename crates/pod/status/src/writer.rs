//! Writes statuses to the API server, and deletes the objects of pods that are over.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kubeapi::{ApiError, ApiErrorKind, Client, Health, Objects};
use serde_json::Value;
use task::backoff::Backoff;
use telemetry::metrics::Histogram;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use types::{Failure, Pod, PodRef, PodUid};

use crate::metrics::Metrics;
use crate::patch::patch;
use crate::write::{Write, decide, object_of};
use crate::{Latest, StatusStore};

/// Writes under way at once.
const PARALLEL: usize = 16;
/// How long a pod waits after a write that failed, at first and at most.
const DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// The reason of its failures.
const NOT_WRITTEN: &str = "StatusNotWritten";

/// What the writer asks of the API server.
pub trait StatusApi: Send + Sync + 'static {
    /// Patches the status of `pod`, and of no other of its name.
    fn patch_status(&self, pod: &PodRef, patch: Value) -> impl Future<Output = Result<Pod, ApiError>> + Send;

    /// Deletes `pod` with a grace period of 0, and no other of its name.
    fn delete(&self, pod: &PodRef) -> impl Future<Output = Result<(), ApiError>> + Send;
}

impl StatusApi for Client {
    async fn patch_status(&self, pod: &PodRef, patch: Value) -> Result<Pod, ApiError> {
        self.patch_pod_status(pod, patch).await
    }

    async fn delete(&self, pod: &PodRef) -> Result<(), ApiError> {
        self.delete_pod(pod, Some(0)).await
    }
}

/// The writer. It compares what is known of each pod with what the API server has of it, and writes what differs.
pub struct StatusWriter<A> {
    api: Arc<A>,
    statuses: StatusStore,
    objects: watch::Receiver<Option<Arc<Objects<Pod>>>>,
    health: watch::Receiver<Health>,
    pods: HashMap<PodUid, Slot>,
    backoff: Backoff<PodUid>,
    writes: JoinSet<Done>,
    /// The pod whose status was begun to be written last.
    begun: Option<PodUid>,
    failures: watch::Sender<Arc<BTreeMap<PodUid, Failure>>>,
    sync_duration: Histogram,
}

/// What the writer knows of one pod.
#[derive(Debug, Default)]
struct Slot {
    /// The status and the object that nothing was to be done about. Compared by address.
    settled: Option<(Latest, Arc<Pod>)>,
    writing: bool,
    /// What the server answered to the last patch, until the watch shows it or something newer.
    answer: Option<Arc<Pod>>,
    /// What the server does not take over: fields that its version does not have.
    unheard: Option<Value>,
    /// The object that has been deleted, and that others hold up.
    deleted: Option<PodUid>,
    /// When to try again after a failure, and whether the server could not be reached.
    retry: Option<(Instant, bool)>,
}

/// A write that has ended.
#[derive(Debug)]
struct Done {
    latest: Latest,
    object: PodRef,
    outcome: Result<Option<Pod>, ApiError>,
}

impl<A: StatusApi> StatusWriter<A> {
    /// A writer of `statuses` for the pods that the API server shows as `objects`, through a watch that fares as
    /// `health` says.
    #[must_use]
    pub fn new(
        api: A,
        statuses: StatusStore,
        objects: watch::Receiver<Option<Arc<Objects<Pod>>>>,
        health: watch::Receiver<Health>,
        metrics: &Metrics,
    ) -> Self {
        Self {
            api: Arc::new(api),
            statuses,
            objects,
            health,
            pods: HashMap::new(),
            backoff: Backoff::new(DELAYS.0, DELAYS.1),
            writes: JoinSet::new(),
            begun: None,
            failures: watch::Sender::default(),
            sync_duration: metrics.sync_duration.clone(),
        }
    }

    /// Pods whose latest status the API server did not take, and why.
    #[must_use]
    pub fn failures(&self) -> watch::Receiver<Arc<BTreeMap<PodUid, Failure>>> {
        self.failures.subscribe()
    }

    /// Writes until dropped.
    pub async fn run(mut self) {
        let mut changes = self.statuses.changes();
        loop {
            changes.borrow_and_update();
            let due = self.look();
            tokio::select! {
                // The store lives as long as `self`.
                _ = changes.changed() => {}
                changed = self.objects.changed() => if changed.is_err() { return },
                changed = self.health.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    if self.health.borrow_and_update().is_connected() {
                        self.server_is_back();
                    }
                }
                Some(Ok(done)) = self.writes.join_next() => self.done(done),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
        }
    }

    /// Begins what is to be written now. Returns when the next pod is to be tried again.
    fn look(&mut self) -> Option<Instant> {
        let objects = self.objects.borrow_and_update().clone()?;
        let statuses = self.statuses.snapshot();
        self.pods.retain(|uid, slot| slot.writing || statuses.contains_key(uid));
        self.tell(|failures| failures.retain(|uid, _| statuses.contains_key(uid)));
        let now = Instant::now();
        let mut next = None;
        // Each gets its turn, however many there are of which the server does not take what it is told.
        let (mut all, earlier): (Vec<_>, Vec<_>) =
            statuses.into_iter().partition(|(uid, _)| self.begun.as_ref().is_none_or(|begun| uid > begun));
        all.extend(earlier);
        for (uid, latest) in all {
            let slot = self.pods.entry(uid).or_default();
            if slot.writing {
                continue;
            }
            if let Some((at, _)) = slot.retry.filter(|(at, _)| *at > now) {
                next = Some(next.map_or(at, |next: Instant| next.min(at)));
                continue;
            }
            let found = object_of(&objects, &latest.pod, latest.hash.as_deref());
            let Some(object) = found else { continue };
            let object = slot.newest(object);
            if slot.is_settled(&latest, &object) {
                continue;
            }
            let write = match decide(&object, &latest, slot.unheard.as_ref()) {
                Write::Delete if slot.deleted.as_ref() == Some(&PodRef::of(&object).uid) => Write::Nothing,
                write => write,
            };
            if write == Write::Nothing {
                slot.settled = Some((latest, object));
                continue;
            }
            if self.writes.len() >= PARALLEL {
                // One of them ends, and then it is looked again.
                continue;
            }
            if let Write::Patch(patch) = &write {
                tracing::debug!(pod = %latest.pod, %patch, "Writing the status of a pod");
            }
            slot.writing = true;
            self.begun = Some(latest.pod.uid.clone());
            let (api, object) = (Arc::clone(&self.api), PodRef::of(&object));
            self.writes.spawn(async move {
                let outcome = match write {
                    Write::Patch(patch) => api.patch_status(&object, patch).await.map(Some),
                    Write::Delete | Write::Nothing => api.delete(&object).await.map(|()| None),
                };
                Done { latest, object, outcome }
            });
        }
        next
    }

    fn done(&mut self, done: Done) {
        let Done { latest, object, outcome } = done;
        let uid = latest.pod.uid.clone();
        let Some(slot) = self.pods.get_mut(&uid) else { return };
        slot.writing = false;
        match outcome {
            Ok(answer) => {
                slot.retry = None;
                self.backoff.reset(&uid);
                match answer {
                    Some(answer) => {
                        self.sync_duration.observe(&[], latest.since.elapsed().as_secs_f64());
                        slot.unheard =
                            answer.status.as_ref().and_then(|status| patch(status, &latest.status));
                        slot.answer = Some(Arc::new(answer));
                    }
                    None => slot.deleted = Some(object.uid),
                }
                self.tell(|failures| drop(failures.remove(&uid)));
                self.server_is_back();
            }
            Err(error) => {
                let now = Instant::now();
                let away = matches!(error.kind, ApiErrorKind::Unreachable | ApiErrorKind::Timeout);
                slot.retry = Some((now + self.backoff.failed(&uid, now), away));
                self.failed(&latest.pod, &error);
                self.backoff.prune(now);
            }
        }
    }

    /// Says that the server did not take what it was told of `pod`. One that is gone or replaced shows in the watch soon.
    fn failed(&self, pod: &PodRef, error: &ApiError) {
        if matches!(error.kind, ApiErrorKind::NotFound | ApiErrorKind::Conflict) {
            return;
        }
        let failure = Failure { reason: NOT_WRITTEN.to_owned(), message: error.message.clone() };
        if self.failures.borrow().get(&pod.uid) != Some(&failure) {
            tracing::warn!(pod = %pod, error = %error, "The status of a pod could not be written; it will be tried again");
            self.tell(|failures| drop(failures.insert(pod.uid.clone(), failure)));
        }
    }

    fn tell(&self, change: impl FnOnce(&mut BTreeMap<PodUid, Failure>)) {
        self.failures.send_if_modified(|failures| {
            // What fails is little, and most of the time nothing.
            let mut changed = (**failures).clone();
            change(&mut changed);
            let news = changed != **failures;
            if news {
                *failures = Arc::new(changed);
            }
            news
        });
    }

    /// Has those tried again at once that could not reach the server.
    fn server_is_back(&mut self) {
        for slot in self.pods.values_mut() {
            if slot.retry.is_some_and(|(_, away)| away) {
                slot.retry = None;
            }
        }
    }
}

impl Slot {
    /// The newer one of what the watch shows (`object`) and what the server answered to the last patch.
    fn newest(&mut self, object: &Arc<Pod>) -> Arc<Pod> {
        let version =
            |pod: &Pod| pod.metadata.resource_version.as_ref().and_then(|text| text.parse::<u64>().ok());
        let ahead = self
            .answer
            .as_ref()
            .filter(|answer| answer.metadata.uid == object.metadata.uid && version(answer) > version(object));
        match ahead {
            Some(answer) => Arc::clone(answer),
            None => {
                self.answer = None;
                Arc::clone(object)
            }
        }
    }

    fn is_settled(&self, latest: &Latest, object: &Arc<Pod>) -> bool {
        self.settled.as_ref().is_some_and(|(known, seen)| {
            Arc::ptr_eq(&known.status, &latest.status)
                && known.over == latest.over
                && Arc::ptr_eq(seen, object)
        })
    }
}

#[cfg(test)]
mod tests;
