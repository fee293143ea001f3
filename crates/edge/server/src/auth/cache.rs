//! Answers that are kept for a while, and asked for once by all who wait for the same.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use tokio::time::Instant;

type Asked<V, E> = Shared<BoxFuture<'static, Result<V, E>>>;

/// Answers by their questions.
pub(super) struct Cache<K, V, E> {
    most: usize,
    slots: Mutex<HashMap<K, Slot<V, E>>>,
}

enum Slot<V, E> {
    /// Asked for; whoever waits drives it on.
    Asked {
        number: Arc<()>,
        answer: Asked<V, E>,
    },
    Kept {
        value: V,
        until: Instant,
    },
}

/// Where an answer came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// It was kept.
    Kept,
    /// It was asked for, by this one or by another.
    Asked,
}

impl<K, V, E> Cache<K, V, E>
where
    K: Hash + Eq + Clone,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// A cache of at most `most` answers.
    pub(super) fn new(most: usize) -> Self {
        Self { most, slots: Mutex::default() }
    }

    /// The answer to `key`: the one that is kept, or that of `ask`, which is kept for as long as `ttl` says. Failures are
    /// not kept.
    pub(super) async fn get(
        &self,
        key: &K,
        ask: impl FnOnce() -> BoxFuture<'static, Result<V, E>>,
        ttl: impl FnOnce(&V) -> Duration,
    ) -> (Result<V, E>, Origin) {
        let (mine, answer) = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            match slots.get(key) {
                Some(Slot::Kept { value, until }) if *until > Instant::now() => {
                    return (Ok(value.clone()), Origin::Kept);
                }
                Some(Slot::Asked { number, answer }) => (Arc::clone(number), answer.clone()),
                _ => {
                    make_room(&mut slots, self.most);
                    let (number, answer) = (Arc::new(()), ask().shared());
                    let slot = Slot::Asked { number: Arc::clone(&number), answer: answer.clone() };
                    slots.insert(key.clone(), slot);
                    (number, answer)
                }
            }
        };
        let answer = answer.await;
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        // The first one who has it keeps it.
        if matches!(slots.get(key), Some(Slot::Asked { number, .. }) if Arc::ptr_eq(number, &mine)) {
            let kept = answer.as_ref().ok().map(|value| (value.clone(), ttl(value)));
            match kept.filter(|(_, ttl)| !ttl.is_zero()) {
                Some((value, ttl)) => {
                    slots.insert(key.clone(), Slot::Kept { value, until: Instant::now() + ttl });
                }
                None => drop(slots.remove(key)),
            }
        }
        (answer, Origin::Asked)
    }
}

/// Drops what is too old when there is no more room; all that is kept, if that is not enough.
fn make_room<K: Hash + Eq, V, E>(slots: &mut HashMap<K, Slot<V, E>>, most: usize) {
    if slots.len() < most {
        return;
    }
    let now = Instant::now();
    // An answer that nobody waits for any more is held by its slot alone.
    slots.retain(|_, slot| match slot {
        Slot::Kept { until, .. } => *until > now,
        Slot::Asked { number, .. } => Arc::strong_count(number) > 1,
    });
    if slots.len() >= most {
        slots.retain(|_, slot| matches!(slot, Slot::Asked { .. }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use tokio::sync::Semaphore;

    use super::*;

    const TTL: Duration = Duration::from_secs(10);

    fn counted(count: &Arc<AtomicU32>, answer: Result<u32, ()>) -> BoxFuture<'static, Result<u32, ()>> {
        count.fetch_add(1, Relaxed);
        async move { answer }.boxed()
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_kept_and_failures_are_not() {
        let cache = Cache::<&str, u32, ()>::new(9);
        let asked = Arc::new(AtomicU32::new(0));
        for (answer, origin, sofar) in
            [(Err(()), Origin::Asked, 1), (Ok(1), Origin::Asked, 2), (Ok(1), Origin::Kept, 2)]
        {
            assert_eq!(cache.get(&"a", || counted(&asked, answer), |_| TTL).await, (answer, origin));
            assert_eq!(asked.load(Relaxed), sofar);
        }
        tokio::time::advance(TTL).await;
        assert_eq!(cache.get(&"a", || counted(&asked, Ok(2)), |_| TTL).await, (Ok(2), Origin::Asked));
        assert_eq!(cache.get(&"b", || counted(&asked, Ok(3)), |_| Duration::ZERO).await.0, Ok(3));
        assert_eq!(cache.get(&"b", || counted(&asked, Ok(4)), |_| TTL).await, (Ok(4), Origin::Asked));
    }

    #[tokio::test]
    async fn those_who_wait_for_the_same_ask_once_even_if_the_first_one_goes() {
        let cache = Arc::new(Cache::<u8, u32, ()>::new(9));
        let (asked, gate) = (Arc::new(AtomicU32::new(0)), Arc::new(Semaphore::new(0)));
        let waiting = || {
            let (cache, asked, gate) = (Arc::clone(&cache), Arc::clone(&asked), Arc::clone(&gate));
            tokio::spawn(async move {
                let ask = || {
                    asked.fetch_add(1, Relaxed);
                    async move { gate.acquire().await.map(|_| 7).map_err(drop) }.boxed()
                };
                cache.get(&1, ask, |_| TTL).await.0
            })
        };
        let first = waiting();
        while asked.load(Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let second = waiting();
        tokio::task::yield_now().await;
        first.abort();
        gate.add_permits(1);
        assert_eq!(second.await.unwrap(), Ok(7));
        assert_eq!(asked.load(Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_a_bound() {
        let cache = Cache::<u32, u32, ()>::new(100);
        let asked = Arc::new(AtomicU32::new(0));
        for key in 0..1000 {
            cache.get(&key, || counted(&asked, Ok(key)), |_| TTL).await.0.unwrap();
            assert!(cache.slots.lock().unwrap().len() <= 100);
        }
    }
}
