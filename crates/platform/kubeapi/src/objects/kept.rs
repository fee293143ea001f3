//! Objects that are read, and kept for a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{Referenced, live, lock};
use crate::{ApiError, ApiErrorKind, Client, ObjectKey};

/// Objects that were read.
pub(super) struct Kept<K> {
    client: Client,
    ttl: Mutex<Duration>,
    slots: Mutex<HashMap<ObjectKey, Arc<Slot<K>>>>,
}

/// One object.
struct Slot<K> {
    /// It is read once at a time; whoever waited takes what came.
    turn: Semaphore,
    last: Mutex<Option<Read<K>>>,
}

/// What was read.
struct Read<K> {
    /// The object, or that there is none.
    found: Result<Arc<K>, ApiError>,
    at: Instant,
}

impl<K: Referenced> Kept<K> {
    pub(super) fn new(client: Client, ttl: Duration) -> Self {
        Self { client, ttl: Mutex::new(ttl), slots: Mutex::default() }
    }

    pub(super) fn set_ttl(&self, ttl: Duration) {
        *lock(&self.ttl) = ttl;
    }

    pub(super) fn forget(&self, key: &ObjectKey) {
        lock(&self.slots).remove(key);
    }

    pub(super) fn len(&self) -> usize {
        lock(&self.slots).len()
    }

    pub(super) async fn get(&self, key: &ObjectKey) -> Result<Arc<K>, ApiError> {
        let slot = {
            let mut slots = lock(&self.slots);
            let new = || Arc::new(Slot { turn: Semaphore::new(1), last: Mutex::new(None) });
            Arc::clone(slots.entry(key.clone()).or_insert_with(new))
        };
        let ttl = *lock(&self.ttl);
        if let Some(found) = slot.fresh(ttl) {
            return found;
        }
        // The semaphore is never closed.
        let _turn = slot.turn.acquire().await.ok();
        if let Some(found) = slot.fresh(ttl) {
            return found;
        }
        let known = lock(&slot.last).as_ref().and_then(|last| last.found.clone().ok());
        let read: Result<K, _> = match known {
            // Just to see whether it is another one by now.
            Some(_) => self.client.get_cached(Some(&key.namespace), &key.name).await,
            None => live(&self.client, key).await,
        };
        match (read, known) {
            // The server's cache can be behind what was read before.
            (Ok(read), Some(known)) if is_older(&read, &known) => Ok(known),
            (Ok(read), _) => slot.keep(Ok(Arc::new(read))),
            (Err(error), _) if error.kind == ApiErrorKind::NotFound => slot.keep(Err(error)),
            (Err(_), Some(known)) => Ok(known),
            (Err(error), None) => Err(error),
        }
    }
}

impl<K> Slot<K> {
    fn fresh(&self, ttl: Duration) -> Option<Result<Arc<K>, ApiError>> {
        let last = lock(&self.last);
        let last = last.as_ref().filter(|last| last.at.elapsed() < ttl)?;
        Some(last.found.clone())
    }

    fn keep(&self, found: Result<Arc<K>, ApiError>) -> Result<Arc<K>, ApiError> {
        *lock(&self.last) = Some(Read { found: found.clone(), at: Instant::now() });
        found
    }
}

/// Whether `read` is an older state than `known`. Versions of the same object can be compared since Kubernetes 1.35;
/// those that cannot are taken for newer.
fn is_older<K: Referenced>(read: &K, known: &K) -> bool {
    let version =
        |object: &K| object.meta().resource_version.as_deref().and_then(|text| text.parse::<u64>().ok());
    read.meta().uid == known.meta().uid
        && matches!((version(read), version(known)), (Some(a), Some(b)) if a < b)
}
