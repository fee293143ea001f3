//! Keeps the mirror pods as they ought to be.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kubeapi::{ApiError, ApiErrorKind, Client, Objects};
use task::backoff::Backoff;
use telemetry::metrics::{Gauge, Registry, Stability};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use types::{Failure, PodName, PodRef, pod};

use crate::object::mirror_of;
use crate::plan::{Action, StaticPods, plan};

/// Requests under way at once.
const PARALLEL: usize = 8;
/// How long a request that failed waits until it is made again, at first and at most: namespaces come, servers return.
const DELAYS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long the watch has to show what a request did, before the same request is made again.
const SHOWN: Duration = Duration::from_secs(5);

/// The reason of its failures.
const NOT_THERE: &str = "MirrorPodNotUpToDate";

/// What is asked of the API server.
pub trait MirrorApi: Send + Sync + 'static {
    /// Creates a mirror pod.
    fn create(&self, mirror: &Pod) -> impl Future<Output = Result<(), ApiError>> + Send;

    /// Deletes `pod` at once, and no other of its name.
    fn delete(&self, pod: &PodRef) -> impl Future<Output = Result<(), ApiError>> + Send;
}

impl MirrorApi for Client {
    async fn create(&self, mirror: &Pod) -> Result<(), ApiError> {
        self.create_pod(mirror).await.map(drop)
    }

    async fn delete(&self, pod: &PodRef) -> Result<(), ApiError> {
        self.delete_pod(pod, Some(0)).await
    }
}

/// The metrics of mirror pods (names are the kubelet's).
#[derive(Clone)]
pub struct Metrics {
    mirror_pods: Gauge,
}

impl Metrics {
    /// Adds the families to `registry`.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let help = "Mirror pods that the API server has of this node.";
        Self { mirror_pods: registry.gauge("kubelet_mirror_pods", help, Stability::Alpha, &[]) }
    }
}

/// The keeper of the mirror pods.
pub struct Mirrors<A> {
    api: Arc<A>,
    pods: watch::Receiver<Arc<StaticPods>>,
    objects: watch::Receiver<Option<Arc<Objects<Pod>>>>,
    node: watch::Receiver<Option<Arc<Node>>>,
    /// Requests under way, and those that are not to be made again before a time.
    held: HashMap<Action, Option<Instant>>,
    backoff: Backoff<Action>,
    requests: JoinSet<(Action, Result<(), ApiError>)>,
    failures: watch::Sender<Arc<BTreeMap<PodName, Failure>>>,
    metrics: Metrics,
}

impl<A: MirrorApi> Mirrors<A> {
    /// A keeper of the mirrors of `pods` among the `objects` that the API server has for the `node`. Without a Node
    /// object there are no mirrors: it owns them.
    #[must_use]
    pub fn new(
        api: A,
        pods: watch::Receiver<Arc<StaticPods>>,
        objects: watch::Receiver<Option<Arc<Objects<Pod>>>>,
        node: watch::Receiver<Option<Arc<Node>>>,
        metrics: Metrics,
    ) -> Self {
        Self {
            api: Arc::new(api),
            pods,
            objects,
            node,
            held: HashMap::new(),
            backoff: Backoff::new(DELAYS.0, DELAYS.1),
            requests: JoinSet::new(),
            failures: watch::Sender::default(),
            metrics,
        }
    }

    /// Static pods whose mirrors could not be brought about, and why.
    #[must_use]
    pub fn failures(&self) -> watch::Receiver<Arc<BTreeMap<PodName, Failure>>> {
        self.failures.subscribe()
    }

    /// Keeps them until dropped.
    pub async fn run(mut self) {
        loop {
            let due = self.look();
            let changed = tokio::select! {
                changed = self.pods.changed() => changed,
                changed = self.objects.changed() => changed,
                changed = self.node.changed() => changed,
                Some(Ok((action, outcome))) = self.requests.join_next() => {
                    self.done(action, outcome);
                    Ok(())
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Ok(()),
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// Begins what is to be done now. Returns when something is due that is not to be done yet.
    fn look(&mut self) -> Option<Instant> {
        let objects = self.objects.borrow_and_update().clone()?;
        let pods = self.pods.borrow_and_update().clone();
        let node = self.node.borrow_and_update().clone();
        let mirrors = objects.values().filter(|object| pod::is_mirror(object)).count();
        self.metrics.mirror_pods.set(&[], u32::try_from(mirrors).unwrap_or(u32::MAX).into());
        let node = node.filter(|node| node.metadata.deletion_timestamp.is_none());
        let actions = plan(&pods, &objects);
        // What is not to be done any more may be done at once the next time.
        self.held.retain(|action, until| until.is_none() || actions.contains(action));
        self.recovered(&actions);
        let now = Instant::now();
        let mut next = None;
        for action in actions {
            match self.held.get(&action) {
                Some(None) => continue,
                Some(Some(until)) if *until > now => {
                    next = Some(next.map_or(*until, |next: Instant| next.min(*until)));
                    continue;
                }
                _ => {}
            }
            if self.requests.len() >= PARALLEL {
                // One of them ends, and then it is looked again.
                continue;
            }
            let api = Arc::clone(&self.api);
            match &action {
                Action::Create(name) => {
                    let mirror = node.as_ref().and_then(|node| mirror_of(pods.wanted.get(name)?, node));
                    let Some(mirror) = mirror else { continue };
                    let created = action.clone();
                    self.requests.spawn(async move { (created, api.create(&mirror).await) });
                }
                Action::Delete(pod) => {
                    let (pod, deleted) = (pod.clone(), action.clone());
                    self.requests.spawn(async move { (deleted, api.delete(&pod).await) });
                }
            }
            self.held.insert(action, None);
        }
        next
    }

    fn done(&mut self, action: Action, outcome: Result<(), ApiError>) {
        let now = Instant::now();
        let wait = match outcome {
            Ok(()) => {
                self.backoff.reset(&action);
                match &action {
                    Action::Create(name) => {
                        tracing::info!(pod = %name, "The mirror of a static pod was created");
                    }
                    Action::Delete(pod) => tracing::info!(pod = %pod, "A mirror pod was deleted"),
                }
                SHOWN
            }
            // The watch will show it.
            Err(error) if is_done(&action, &error) => SHOWN,
            Err(error) => {
                self.failed(&action, &error);
                let wait = self.backoff.failed(&action, now);
                self.backoff.prune(now);
                wait
            }
        };
        self.held.insert(action, Some(now + wait));
    }

    fn failed(&self, action: &Action, error: &ApiError) {
        let (what, pod) = match action {
            Action::Create(name) => ("created", name),
            Action::Delete(pod) => ("deleted", &pod.name),
        };
        let failure =
            Failure { reason: NOT_THERE.to_owned(), message: format!("it could not be {what}: {error}") };
        if self.failures.borrow().get(pod) != Some(&failure) {
            tracing::warn!(pod = %pod, error = %error, "A mirror pod could not be {what}; it will be tried again");
            self.failures.send_modify(|failures| drop(Arc::make_mut(failures).insert(pod.clone(), failure)));
        }
    }

    /// Forgets the failures of those with which nothing is wrong any more.
    fn recovered(&self, actions: &[Action]) {
        let wrong = |pod: &PodName| {
            actions.iter().any(|action| match action {
                Action::Create(name) => name == pod,
                Action::Delete(object) => object.name == *pod,
            })
        };
        if self.failures.borrow().keys().any(|pod| !wrong(pod)) {
            self.failures.send_modify(|failures| Arc::make_mut(failures).retain(|pod, _| wrong(pod)));
        }
    }
}

/// Whether the error says that there is nothing left to do.
fn is_done(action: &Action, error: &ApiError) -> bool {
    match action {
        Action::Create(_) => error.kind == ApiErrorKind::AlreadyExists,
        Action::Delete(_) => matches!(error.kind, ApiErrorKind::NotFound | ApiErrorKind::Conflict),
    }
}

#[cfg(test)]
mod tests;
