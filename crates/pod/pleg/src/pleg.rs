//! The generator: one task over the whole runtime.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cri::{ContainerEvent, ContainerEventKind, CriError, Runtime};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use types::{ContainerId, ObservedContainer, ObservedPod, PodRef, PodUid};

use crate::changes::Coarse;
use crate::exits::Exits;
use crate::health::{Health, Mode};
use crate::looks::Looks;
use crate::metrics::Metrics;
use crate::pending::{Pending, PendingLook};
use crate::pods::{Listed, Pods};
use crate::stopping::{Stopping, StoppingGuard};
use crate::stream::{EventStream, News};
use crate::trust::{Trust, Turn};

/// When a container that was killed is looked at again, each time after the one before, as long as the runtime may still
/// learn that memory ran out.
const OUT_OF_MEMORY_IS_TOLD_IN: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400)];

/// Periods of the generator's timers.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Time between relists while events flow.
    pub slow_relist: Duration,
    /// Time between relists while they do not.
    pub fast_relist: Duration,
    /// Wait before the event stream is connected again.
    pub reconnect: Duration,
    /// Whether the runtime's events are listened to, where it has them (feature gate `EventedPLEG`, if it is set).
    pub events: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            slow_relist: Duration::from_secs(60),
            fast_relist: Duration::from_secs(1),
            reconnect: Duration::from_secs(1),
            events: true,
        }
    }
}

/// The generator. Clones share it.
#[derive(Clone)]
pub struct Pleg {
    shared: Arc<Shared>,
}

/// What the task and the callers of [`Pleg::refresh`] share. No lock is held over an await.
struct Shared {
    runtime: Runtime,
    options: Options,
    metrics: Metrics,
    /// Counts looks and lists, so that it is known which began first.
    turns: AtomicU64,
    pods: Mutex<Pods>,
    trust: Mutex<Trust>,
    pending: Pending,
    stopping: Stopping,
    all: watch::Sender<Option<Arc<BTreeSet<PodRef>>>>,
    health: watch::Sender<Health>,
    /// Rings when an event is due, so that the task arms its timer.
    expecting: Notify,
    relist_now: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pleg {
    /// A generator over `runtime`.
    #[must_use]
    pub fn new(runtime: Runtime, options: Options, metrics: Metrics) -> Self {
        let health = Health { mode: Mode::Polling, last_relist: None, error: None };
        Self {
            shared: Arc::new(Shared {
                runtime,
                options,
                metrics,
                turns: AtomicU64::new(0),
                pods: Mutex::default(),
                trust: Mutex::default(),
                pending: Pending::default(),
                stopping: Stopping::default(),
                all: watch::Sender::new(None),
                health: watch::Sender::new(health),
                expecting: Notify::new(),
                relist_now: Notify::new(),
            }),
        }
    }

    /// The state of `pod`, as it changes; absent until it has been looked at.
    #[must_use]
    pub fn observed(&self, pod: &PodRef) -> watch::Receiver<Arc<ObservedPod>> {
        lock(&self.shared.pods).subscribe(pod)
    }

    /// What is known of `pod` without asking: the last look at it, or that the runtime has nothing of it. `None` while
    /// neither is known; then only [`Pleg::refresh`] can tell.
    #[must_use]
    pub fn known(&self, pod: &PodRef) -> Option<Arc<ObservedPod>> {
        if let Some(observed) = lock(&self.shared.pods).looked_at(&pod.uid) {
            return Some(observed);
        }
        let absent = self.shared.all.borrow().as_ref().is_some_and(|all| !all.contains(pod));
        absent.then(|| Arc::new(ObservedPod::absent(pod.clone())))
    }

    /// All pods that the runtime has; `None` until it has been asked once.
    #[must_use]
    pub fn pods(&self) -> watch::Receiver<Option<Arc<BTreeSet<PodRef>>>> {
        self.shared.all.subscribe()
    }

    /// How well the runtime's state is known.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// Looks at `pod` now and publishes what it finds: the state after everything that was done before the call.
    ///
    /// # Errors
    /// If the runtime does not answer.
    pub async fn refresh(&self, pod: &PodRef) -> Result<Arc<ObservedPod>, CriError> {
        self.shared.look(pod).await
    }

    /// Tells that the caller ends or removes this container or sandbox, and looks at the pod itself when that is done:
    /// until the guard is dropped, what the runtime tells of its end is not looked up.
    pub fn stopping(&self, id: &str) -> StoppingGuard {
        self.shared.stopping.begin(id.into())
    }

    /// The look at `pod` that is under way or failed, if its state is wanted and not known.
    #[must_use]
    pub fn pending(&self, pod: &PodUid) -> Option<PendingLook> {
        self.shared.pending.of(pod)
    }

    /// Relists at once, for instance because the runtime has come back.
    pub fn relist_now(&self) {
        self.shared.relist_now.notify_one();
    }

    /// How many pods are remembered: those that the runtime has, and those that somebody watches.
    #[must_use]
    pub fn tracked(&self) -> usize {
        lock(&self.shared.pods).len()
    }

    /// Watches the runtime until the future is dropped.
    pub async fn run(self) {
        let shared = &*self.shared;
        let mut stream =
            if shared.options.events { EventStream::Waiting(Instant::now()) } else { EventStream::Off };
        let mut suspicious = false;
        let mut exits = Exits::new(&shared.runtime, shared.options.fast_relist, |container: &ContainerId| {
            shared.stopping.contains(container.as_str()) || lock(&shared.pods).has_ended(container)
        });
        let mut looks = Looks::new(|pod: PodRef| shared.look_until_known(pod));
        // `None` while a list is being made and nobody has asked for another one since it began.
        let mut relist_at = Some(Instant::now());
        let mut last_relist: Option<Instant> = None;
        let mut relisting: Option<Pin<Box<dyn Future<Output = Relisted> + Send + '_>>> = None;
        loop {
            let overdue_at = lock(&shared.trust).deadline();
            tokio::select! {
                news = stream.next(&shared.runtime) => match news {
                    News::Event(event) => {
                        shared.heard(&event);
                        if shared.is_news(&event) {
                            looks.soon(&event.pod);
                        }
                        if std::mem::take(&mut suspicious) {
                            shared.set_mode(Mode::Events);
                        }
                    }
                    News::Opened => {
                        shared.metrics.connection_successes.inc(&[]);
                        lock(&shared.trust).opened(shared.turn());
                        exits.stop();
                        // One that went silent is not relied on before it has said something.
                        if !suspicious {
                            shared.set_mode(Mode::Events);
                        }
                        // What happened while nobody listened is in the list.
                        relist_at = Some(Instant::now());
                    }
                    News::Unsupported => {
                        tracing::info!("The runtime has no events; it is relisted every second");
                        lock(&shared.trust).closed();
                        shared.set_mode(Mode::Polling);
                        exits.listen();
                        relist_at = Some(Instant::now());
                    }
                    News::Lost(error) => {
                        if stream.is_open() {
                            let error = error.map_or_else(|| "it ended".to_owned(), |error| telemetry::chain(&error));
                            tracing::warn!(error, "The runtime's event stream broke; relisting every second until it is back");
                            relist_at = Some(Instant::now());
                        }
                        stream = shared.without_stream();
                    }
                },
                container = exits.next() => {
                    let pod = lock(&shared.pods).having(&container);
                    if let Some(pod) = pod {
                        looks.soon(&pod);
                    }
                }
                () = sleep_or_never(overdue_at) => {
                    let lost = lock(&shared.trust).overdue(Instant::now()).cloned();
                    if let Some(container) = lost {
                        if !std::mem::replace(&mut suspicious, true) {
                            tracing::warn!(%container, "The runtime's event stream does not tell of this container's change; connecting again");
                        }
                        stream = shared.without_stream();
                        relist_at = Some(Instant::now());
                    }
                }
                // The timer is armed at the top.
                () = shared.expecting.notified() => {}
                () = shared.relist_now.notified() => relist_at = Some(Instant::now()),
                () = looks.drive() => {}
                relisted = next_relisted(&mut relisting) => {
                    relisting = None;
                    for pod in &relisted.changed {
                        looks.soon(pod);
                    }
                    let failed = relisted.failed;
                    if failed && matches!(stream, EventStream::Unsupported) {
                        // When it comes back it may be another version.
                        stream = EventStream::Waiting(Instant::now() + shared.options.reconnect);
                    }
                    let slow = !failed && shared.health.borrow().mode == Mode::Events;
                    let period = if slow { shared.options.slow_relist } else { shared.options.fast_relist };
                    relist_at.get_or_insert_with(|| Instant::now() + period);
                }
                () = sleep_or_never(relist_at), if relisting.is_none() => {
                    relist_at = None;
                    let begun = Instant::now();
                    if let Some(last) = last_relist.replace(begun) {
                        shared.metrics.relist_interval.observe(&[], (begun - last).as_secs_f64());
                    }
                    relisting = Some(Box::pin(shared.relist(begun)));
                }
            }
        }
    }
}

/// How a relist went.
struct Relisted {
    failed: bool,
    /// Pods that are to be looked at.
    changed: Vec<PodRef>,
}

impl Shared {
    fn turn(&self) -> Turn {
        self.turns.fetch_add(1, Relaxed)
    }

    fn set_mode(&self, mode: Mode) {
        self.health.send_if_modified(|health| std::mem::replace(&mut health.mode, mode) != mode);
    }

    /// Does without events until the next attempt.
    fn without_stream(&self) -> EventStream {
        lock(&self.trust).closed();
        self.metrics.connection_errors.inc(&[]);
        self.set_mode(Mode::Polling);
        EventStream::Waiting(Instant::now() + self.options.reconnect)
    }

    fn heard(&self, event: &ContainerEvent) {
        let state = match event.kind {
            ContainerEventKind::Started => Some(Coarse::Running),
            ContainerEventKind::Stopped => Some(Coarse::Exited),
            ContainerEventKind::Created | ContainerEventKind::Deleted | ContainerEventKind::Unknown => None,
        };
        if let Some(state) = state {
            lock(&self.trust).heard(&event.container_id, state, Instant::now());
        }
        if let Some(at) = event.at {
            let latency = jiff::Timestamp::now().duration_since(at);
            self.metrics.connection_latency.observe(&[], latency.as_secs_f64().max(0.0));
        }
    }

    /// Whether the event tells something that is neither known nor about to be looked up by who made it happen.
    fn is_news(&self, event: &ContainerEvent) -> bool {
        let id = &event.container_id;
        if self.stopping.contains(id.as_str()) {
            return false;
        }
        match event.kind {
            ContainerEventKind::Stopped => !lock(&self.pods).has_ended(id),
            ContainerEventKind::Deleted => lock(&self.pods).having(id).is_some(),
            ContainerEventKind::Created | ContainerEventKind::Started | ContainerEventKind::Unknown => true,
        }
    }

    async fn relist(&self, begun: Instant) -> Relisted {
        let turn = self.turn();
        let listed = self.runtime.list_pods().await;
        self.metrics.relist_duration.observe(&[], begun.elapsed().as_secs_f64());
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                let text = telemetry::chain(&error);
                let before = self.health.borrow().error.clone();
                if before.is_none() {
                    tracing::warn!(
                        error = text,
                        "The runtime's pods cannot be listed; trying again until they can"
                    );
                }
                if before.as_ref() != Some(&text) {
                    self.health.send_modify(|health| health.error = Some(text));
                }
                return Relisted { failed: true, changed: Vec::new() };
            }
        };
        self.metrics.last_seen.set(&[], unix_seconds());
        let changed = {
            let mut pods = lock(&self.pods);
            let Listed { changed, all } = pods.listed(turn, &listed, |id| self.stopping.contains(id));
            // Still under the lock, so that the set changes in the order of the pods.
            self.all.send_if_modified(|known| {
                let news = known.as_deref() != Some(&all);
                if news {
                    *known = Some(Arc::new(all));
                }
                news
            });
            changed
        };
        self.health.send_modify(|health| {
            health.last_relist = Some(begun);
            health.error = None;
        });
        Relisted { failed: false, changed }
    }

    /// Looks at `pod` until the runtime answers.
    async fn look_until_known(&self, pod: PodRef) {
        let mut told = false;
        let mut observed = loop {
            match self.look(&pod).await {
                Ok(observed) => break observed,
                Err(error) if !std::mem::replace(&mut told, true) => {
                    let error = telemetry::chain(&error);
                    tracing::warn!(%pod, error, "The pod's state cannot be read from the runtime; trying again until it can");
                }
                Err(_) => {}
            }
            sleep(self.options.fast_relist).await;
        };
        for wait in OUT_OF_MEMORY_IS_TOLD_IN {
            if !observed.containers.iter().any(may_be_out_of_memory) {
                return;
            }
            sleep(wait).await;
            // What was seen is published; this look only adds to it.
            let Ok(seen) = self.look(&pod).await else { return };
            observed = seen;
        }
    }

    async fn look(&self, pod: &PodRef) -> Result<Arc<ObservedPod>, CriError> {
        let (begun, turn) = (Instant::now(), self.turn());
        let under_way = self.pending.begin(&pod.uid);
        let known = lock(&self.pods).looked_at(&pod.uid);
        let observed = self.runtime.observe(pod, known.as_deref()).await;
        under_way.ended(observed.as_ref().err().map(|error| telemetry::chain(error)));
        let observed = Arc::new(observed?);
        self.metrics.pod_relist_duration.observe(&[], begun.elapsed().as_secs_f64());
        self.publish(turn, &observed);
        Ok(observed)
    }

    fn publish(&self, turn: Turn, observed: &Arc<ObservedPod>) {
        let mut pods = lock(&self.pods);
        let Some(published) = pods.publish(turn, observed) else { return };
        let mut due = false;
        {
            let mut trust = lock(&self.trust);
            for (container, state) in &published.transitions {
                due |= trust.saw(container, *state, published.before, Instant::now());
            }
        }
        if due {
            self.expecting.notify_one();
        }
        let count = pods.count();
        self.metrics.running_pods.set(&[], f64::from(count.ready_pods));
        for state in Coarse::ALL {
            let containers = count.containers[state as usize];
            self.metrics.running_containers.set(&[state.label()], f64::from(containers));
        }
        self.all.send_if_modified(|all| {
            let Some(all) = all else { return false };
            let gone = observed.is_absent();
            if gone != all.contains(&observed.pod) {
                return false;
            }
            let set = Arc::make_mut(all);
            if gone { set.remove(&observed.pod) } else { set.insert(observed.pod.clone()) }
        });
    }
}

fn may_be_out_of_memory(container: &ObservedContainer) -> bool {
    container.state.exit().is_some_and(|exit| exit.may_be_out_of_memory(jiff::Timestamp::now()))
}

async fn next_relisted<F: Future<Output = Relisted> + Unpin>(relisting: &mut Option<F>) -> Relisted {
    match relisting {
        Some(relisting) => relisting.await,
        None => std::future::pending().await,
    }
}

async fn sleep_or_never(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 fit in 2^52")]
fn unix_seconds() -> f64 {
    jiff::Timestamp::now().as_millisecond() as f64 / 1000.0
}
