//! The generator: one task over the whole runtime, and one look at a time per pod.

use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cri::{ContainerEvent, ContainerEventKind, CriError, CriErrorKind, Runtime};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use types::{ObservedPod, PodRef, PodUid, SandboxState};

use crate::changes::{Coarse, Outline};
use crate::health::{Health, Mode};
use crate::metrics::Metrics;
use crate::trust::Trust;

/// Periods of the generator's timers.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Time between relists while events flow.
    pub slow_relist: Duration,
    /// Time between relists while they do not.
    pub fast_relist: Duration,
    /// Wait before the event stream is connected again.
    pub reconnect: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            slow_relist: Duration::from_secs(60),
            fast_relist: Duration::from_secs(1),
            reconnect: Duration::from_secs(1),
        }
    }
}

type Events = Pin<Box<dyn Stream<Item = Result<ContainerEvent, CriError>> + Send>>;

/// The generator. Clones share it.
#[derive(Clone)]
pub struct Pleg {
    shared: Arc<Shared>,
}

struct Shared {
    runtime: Runtime,
    options: Options,
    metrics: Metrics,
    /// Never held over an await.
    pods: Mutex<HashMap<PodUid, Tracked>>,
    trust: Mutex<Trust>,
    all: watch::Sender<Option<Arc<BTreeSet<PodRef>>>>,
    health: watch::Sender<Health>,
    /// Rings when a transition was seen, so that the task arms its timer.
    expecting: Notify,
    relist_now: Notify,
}

/// One pod that somebody watches or the runtime has.
struct Tracked {
    state: watch::Sender<Arc<ObservedPod>>,
    outline: Outline,
    /// When the look that is published began. A look that began earlier is never published over it.
    looked_at: Option<Instant>,
    /// A look is under way on the generator's behalf.
    looking: bool,
    /// Something happened since that look began: look again after it.
    again: bool,
}

impl Tracked {
    fn new(pod: &PodRef) -> Self {
        Self {
            state: watch::Sender::new(Arc::new(ObservedPod::absent(pod.clone()))),
            outline: Outline::default(),
            looked_at: None,
            looking: false,
            again: false,
        }
    }
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
                pods: Mutex::default(),
                trust: Mutex::default(),
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
        let mut pods = lock(&self.shared.pods);
        pods.entry(pod.uid.clone()).or_insert_with(|| Tracked::new(pod)).state.subscribe()
    }

    /// What is known of `pod` without asking: the last look at it, or that the runtime has nothing of it. `None` while
    /// neither is known; then only [`Pleg::refresh`] can tell.
    #[must_use]
    pub fn known(&self, pod: &PodRef) -> Option<Arc<ObservedPod>> {
        let pods = lock(&self.shared.pods);
        match pods.get(&pod.uid) {
            Some(tracked) if tracked.looked_at.is_some() => Some(tracked.state.borrow().clone()),
            _ => {
                let all = self.shared.all.borrow();
                let absent = all.as_ref().is_some_and(|all| !all.contains(pod));
                absent.then(|| Arc::new(ObservedPod::absent(pod.clone())))
            }
        }
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

    /// Relists at once, for instance because the runtime has come back.
    pub fn relist_now(&self) {
        self.shared.relist_now.notify_one();
    }

    /// Watches the runtime until the future is dropped.
    pub async fn run(self) {
        let shared = &self.shared;
        let mut events: Option<Events> = None;
        let mut connect_at = Some(Instant::now());
        let mut relist_at = Instant::now();
        let mut relisting: Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = None;
        let mut last_relist: Option<Instant> = None;
        loop {
            let overdue_at = lock(&shared.trust).deadline().filter(|_| events.is_some());
            tokio::select! {
                event = next_of(&mut events) => match event {
                    Some(Ok(event)) => self.heard(&event),
                    Some(Err(error)) if error.kind == CriErrorKind::Unimplemented => {
                        tracing::info!("The runtime has no events; it is relisted every second");
                        events = None;
                        self.set_mode(Mode::Polling);
                        relist_at = Instant::now() + shared.options.fast_relist;
                    }
                    ended => {
                        if let Some(Err(error)) = ended {
                            let error = telemetry::chain(&error);
                            tracing::warn!(error, "The runtime's event stream broke; relisting every second until it is back");
                        }
                        events = self.lost_stream();
                        connect_at = Some(Instant::now() + shared.options.reconnect);
                        relist_at = Instant::now();
                    }
                },
                () = sleep_or_never(connect_at) => {
                    shared.metrics.connection_successes.inc(&[]);
                    lock(&shared.trust).reset();
                    // A server may not answer before its first event: that the call fails is told by the stream.
                    let runtime = shared.runtime.clone();
                    let stream = async move { runtime.events().await };
                    events = Some(Box::pin(stream::once(stream).try_flatten()));
                    connect_at = None;
                    self.set_mode(Mode::Events);
                    // What happened while nobody listened is in the list.
                    relist_at = Instant::now();
                }
                () = sleep_or_never(overdue_at) => {
                    let lost = lock(&shared.trust).overdue(Instant::now()).cloned();
                    if let Some(container) = lost {
                        tracing::warn!(%container, "The runtime's event stream does not tell of this container's change; connecting again");
                        events = self.lost_stream();
                        connect_at = Some(Instant::now() + shared.options.reconnect);
                        relist_at = Instant::now();
                    }
                }
                () = shared.expecting.notified() => {}
                () = shared.relist_now.notified() => relist_at = Instant::now(),
                () = async { match &mut relisting { Some(f) => f.await, None => std::future::pending().await } } => {
                    relisting = None;
                    let period = if events.is_some() { shared.options.slow_relist } else { shared.options.fast_relist };
                    relist_at = Instant::now() + period;
                }
                () = sleep_until(relist_at), if relisting.is_none() => {
                    let begun = Instant::now();
                    if let Some(last) = last_relist.replace(begun) {
                        shared.metrics.relist_interval.observe(&[], (begun - last).as_secs_f64());
                    }
                    relisting = Some(Box::pin(self.relist(begun)));
                }
            }
        }
    }

    fn lost_stream(&self) -> Option<Events> {
        lock(&self.shared.trust).reset();
        self.shared.metrics.connection_errors.inc(&[]);
        self.set_mode(Mode::Polling);
        None
    }

    fn set_mode(&self, mode: Mode) {
        self.shared.health.send_if_modified(|health| std::mem::replace(&mut health.mode, mode) != mode);
    }

    fn heard(&self, event: &ContainerEvent) {
        let now = Instant::now();
        let state = match event.kind {
            ContainerEventKind::Started => Some(Coarse::Running),
            ContainerEventKind::Stopped => Some(Coarse::Exited),
            _ => None,
        };
        if let Some(state) = state {
            lock(&self.shared.trust).heard(&event.container_id, state, now);
        }
        if let Some(at) = event.at {
            let latency = jiff::Timestamp::now().duration_since(at);
            self.shared.metrics.connection_latency.observe(&[], latency.as_secs_f64().max(0.0));
        }
        self.shared.look_soon(&event.pod);
    }

    async fn relist(&self, begun: Instant) {
        let shared = &self.shared;
        let listed = shared.runtime.list_pods().await;
        shared.metrics.relist_duration.observe(&[], begun.elapsed().as_secs_f64());
        let listed = match listed {
            Ok(listed) => listed,
            Err(error) => {
                let text = telemetry::chain(&error);
                tracing::warn!(error = %text, "The runtime's pods cannot be listed");
                shared.health.send_modify(|health| health.error = Some(text));
                return;
            }
        };
        shared.metrics.last_seen.set(&[], unix_seconds());
        let mut changed = Vec::new();
        {
            let mut pods = lock(&shared.pods);
            for pod in &listed {
                let outline = Outline::of(pod);
                let tracked = pods.entry(pod.pod.uid.clone()).or_insert_with(|| Tracked::new(&pod.pod));
                // A look that began after this listing knows better.
                let older = tracked.looked_at.is_none_or(|at| at <= begun);
                if older && tracked.outline != outline {
                    changed.push(pod.pod.clone());
                }
            }
            let present: BTreeSet<&PodUid> = listed.iter().map(|pod| &pod.pod.uid).collect();
            for (uid, tracked) in pods.iter() {
                let gone = tracked.outline != Outline::default() && !present.contains(uid);
                if gone && tracked.looked_at.is_none_or(|at| at <= begun) {
                    changed.push(tracked.state.borrow().pod.clone());
                }
            }
            pods.retain(|uid, tracked| {
                present.contains(uid)
                    || tracked.looking
                    || tracked.state.receiver_count() > 0
                    || tracked.outline != Outline::default()
            });
        }
        for pod in &changed {
            shared.look_soon(pod);
        }
        let all: BTreeSet<PodRef> = listed.into_iter().map(|pod| pod.pod).collect();
        shared.all.send_if_modified(|known| {
            let news = known.as_deref() != Some(&all);
            if news {
                *known = Some(Arc::new(all));
            }
            news
        });
        shared.health.send_modify(|health| {
            health.last_relist = Some(begun);
            health.error = None;
        });
    }
}

impl Shared {
    /// Looks at `pod` in a task of its own. Looks that are asked for while one is under way become one.
    fn look_soon(self: &Arc<Self>, pod: &PodRef) {
        {
            let mut pods = lock(&self.pods);
            let tracked = pods.entry(pod.uid.clone()).or_insert_with(|| Tracked::new(pod));
            if tracked.looking {
                tracked.again = true;
                return;
            }
            tracked.looking = true;
        }
        let (shared, pod) = (Arc::clone(self), pod.clone());
        tokio::spawn(async move {
            loop {
                if let Err(error) = shared.look(&pod).await {
                    // The next relist sees that the outline still differs.
                    tracing::warn!(pod = %pod, error = %telemetry::chain(&error), "The pod's state cannot be read from the runtime");
                    shared.relist_now.notify_one();
                    tokio::time::sleep(shared.options.fast_relist).await;
                }
                let mut pods = lock(&shared.pods);
                let Some(tracked) = pods.get_mut(&pod.uid) else { return };
                if !std::mem::take(&mut tracked.again) {
                    tracked.looking = false;
                    return;
                }
            }
        });
    }

    async fn look(self: &Arc<Self>, pod: &PodRef) -> Result<Arc<ObservedPod>, CriError> {
        let begun = Instant::now();
        let observed = Arc::new(self.runtime.observe(pod).await?);
        self.metrics.pod_relist_duration.observe(&[], begun.elapsed().as_secs_f64());
        self.publish(pod, begun, &observed);
        Ok(observed)
    }

    fn publish(&self, pod: &PodRef, begun: Instant, observed: &Arc<ObservedPod>) {
        let outline = Outline::of(observed);
        let mut pods = lock(&self.pods);
        let tracked = pods.entry(pod.uid.clone()).or_insert_with(|| Tracked::new(pod));
        if tracked.looked_at.is_some_and(|at| at > begun) {
            return;
        }
        let first = tracked.looked_at.replace(begun).is_none();
        {
            let mut trust = lock(&self.trust);
            // What was there before the first look is history; no event is due for it.
            for (container, state) in outline.transitions(&tracked.outline).filter(|_| !first) {
                trust.saw(container, state, Instant::now());
                self.expecting.notify_one();
            }
        }
        tracked.outline = outline;
        let gone = observed.is_absent();
        tracked.state.send_if_modified(|state| {
            let news = **state != **observed;
            if news {
                *state = Arc::clone(observed);
            }
            news
        });
        self.count(&pods);
        drop(pods);
        self.all.send_if_modified(|all| {
            let Some(all) = all else { return false };
            if gone != all.contains(pod) {
                return false;
            }
            let set = Arc::make_mut(all);
            if gone { set.remove(pod) } else { set.insert(pod.clone()) }
        });
    }

    fn count(&self, pods: &HashMap<PodUid, Tracked>) {
        let mut ready = 0u32;
        let mut by_state = [("created", 0u32), ("running", 0), ("exited", 0), ("unknown", 0)];
        for tracked in pods.values() {
            let pod = tracked.state.borrow();
            ready += u32::from(pod.sandboxes.iter().any(|s| s.state == SandboxState::Ready));
            for container in &pod.containers {
                by_state[Coarse::of(&container.state) as usize].1 += 1;
            }
        }
        self.metrics.running_pods.set(&[], f64::from(ready));
        for (state, n) in by_state {
            self.metrics.running_containers.set(&[state], f64::from(n));
        }
    }
}

async fn next_of(events: &mut Option<Events>) -> Option<Result<ContainerEvent, CriError>> {
    match events {
        Some(stream) => stream.next().await,
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
