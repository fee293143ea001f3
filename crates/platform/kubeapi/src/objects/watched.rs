//! One watch for each object that a pod refers to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::references::References;
use super::{Changed, Referenced, live, lock};
use crate::{ApiError, Change, Client, Health, ObjectKey, Selection, Watch};

/// How long whoever asks waits for a watch that has only begun; upstream's number.
const FIRST: Duration = Duration::from_secs(1);

/// Watched objects.
pub(super) struct Watched<K> {
    client: Client,
    idle: Duration,
    references: Arc<Mutex<References>>,
    changed: mpsc::Sender<Changed>,
    items: Mutex<HashMap<ObjectKey, Item<K>>>,
}

/// One object.
struct Item<K> {
    seen: watch::Receiver<Seen<K>>,
    health: watch::Receiver<Health>,
    demand: Arc<Demand>,
    task: AbortOnDropHandle<()>,
}

/// What is known of an object.
enum Seen<K> {
    Nothing,
    Absent,
    Present(Arc<K>),
}

/// Who wants to know of it.
struct Demand {
    asked: Mutex<Instant>,
    /// Somebody has asked and did not learn it from the watch.
    missed: AtomicBool,
}

impl<K: Referenced> Watched<K> {
    pub(super) fn new(
        client: Client,
        idle: Duration,
        references: Arc<Mutex<References>>,
        changed: mpsc::Sender<Changed>,
    ) -> Self {
        Self { client, idle, references, changed, items: Mutex::default() }
    }

    /// Watches the object, unless it is watched, or cannot change.
    pub(super) fn start(&self, key: &ObjectKey) {
        self.running(key);
    }

    /// Forgets the object.
    pub(super) fn stop(&self, key: &ObjectKey) {
        lock(&self.items).remove(key);
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.items).len()
    }

    pub(super) async fn get(&self, key: &ObjectKey) -> Result<Arc<K>, ApiError> {
        let (mut seen, mut health, demand) = self.running(key);
        *lock(&demand.asked) = Instant::now();
        let known = timeout(FIRST, async {
            tokio::select! {
                biased;
                known = seen.wait_for(|seen| !matches!(seen, Seen::Nothing)) => known.ok().map(|seen| match &*seen {
                    Seen::Present(object) => Ok(Arc::clone(object)),
                    Seen::Absent | Seen::Nothing => Err(ApiError::not_found(&K::kind(&()), &key.name)),
                }),
                // It would only be tried again later.
                _ = health.wait_for(|health| matches!(health, Health::Failing { .. })) => None,
            }
        });
        if let Ok(Some(known)) = known.await {
            return known;
        }
        demand.missed.store(true, Relaxed);
        live(&self.client, key).await.map(Arc::new)
    }

    /// What is known of the object, which is watched from now on if it was not.
    fn running(&self, key: &ObjectKey) -> (watch::Receiver<Seen<K>>, watch::Receiver<Health>, Arc<Demand>) {
        let mut items = lock(&self.items);
        let runs = items.get(key).is_some_and(Item::is_good);
        if !runs {
            items.insert(key.clone(), self.begin(key));
        }
        let item = &items[key];
        (item.seen.clone(), item.health.clone(), Arc::clone(&item.demand))
    }

    fn begin(&self, key: &ObjectKey) -> Item<K> {
        let selection = Selection::object(Some(&key.namespace), &key.name);
        let watch = Watch::<K>::streamed(&self.client, selection);
        let health = watch.health();
        let (sender, seen) = watch::channel(Seen::Nothing);
        let demand = Arc::new(Demand { asked: Mutex::new(Instant::now()), missed: AtomicBool::new(false) });
        let follower = Follower {
            key: key.clone(),
            watch,
            seen: sender,
            demand: Arc::clone(&demand),
            idle: self.idle,
            references: Arc::clone(&self.references),
            changed: self.changed.clone(),
        };
        Item { seen, health, demand, task: AbortOnDropHandle::new(tokio::spawn(follower.run())) }
    }
}

impl<K: Referenced> Item<K> {
    /// Whether what is known is kept up to date, or cannot change.
    fn is_good(&self) -> bool {
        !self.task.is_finished()
            || matches!(&*self.seen.borrow(), Seen::Present(object) if object.is_immutable())
    }
}

/// The task that follows one object.
struct Follower<K> {
    key: ObjectKey,
    watch: Watch<K>,
    seen: watch::Sender<Seen<K>>,
    demand: Arc<Demand>,
    idle: Duration,
    references: Arc<Mutex<References>>,
    changed: mpsc::Sender<Changed>,
}

impl<K: Referenced> Follower<K> {
    /// Ends when the object cannot change any more, or nobody has asked for it for a while.
    async fn run(mut self) {
        loop {
            let pause = *lock(&self.demand.asked) + self.idle;
            if pause <= Instant::now() {
                return;
            }
            let change = tokio::select! {
                change = self.watch.next() => change,
                () = sleep_until(pause) => continue,
            };
            let now = match change {
                None => return,
                Some(Change::Listed(objects)) => {
                    objects.into_iter().next().map_or(Seen::Absent, Seen::Present)
                }
                Some(Change::Applied(object)) => Seen::Present(object),
                Some(Change::Deleted(_)) => Seen::Absent,
            };
            let immutable = matches!(&now, Seen::Present(object) if object.is_immutable());
            let missed = self.demand.missed.swap(false, Relaxed);
            let news = self.seen.borrow().is_changed_by(&now, missed);
            self.seen.send_replace(now);
            if news {
                let pods = lock(&self.references).pods(&self.key);
                // Without anybody who listens the objects are still right.
                let _ = self.changed.send(Changed { key: self.key.clone(), pods }).await;
            }
            if immutable {
                return;
            }
        }
    }
}

impl<K: Referenced> Seen<K> {
    /// Whether pods have to hear of it. Those that asked for something that nothing was known of wait for the answer
    /// themselves, unless they gave up waiting (`missed`).
    fn is_changed_by(&self, now: &Self, missed: bool) -> bool {
        let version = |object: &Arc<K>| object.meta().resource_version.clone();
        match (self, now) {
            (Self::Present(before), Self::Present(now)) => version(before) != version(now),
            (Self::Nothing, Self::Present(_)) => missed,
            (Self::Nothing | Self::Absent, Self::Absent) | (_, Self::Nothing) => false,
            (Self::Absent, Self::Present(_)) | (Self::Present(_), Self::Absent) => true,
        }
    }
}
