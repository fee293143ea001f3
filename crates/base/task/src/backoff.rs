//! Exponential back-off by key.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
struct Entry {
    delay: Duration,
    failed_at: Instant,
}

/// Delays by key: the first failure waits `initial`, each further one twice as long, up to `max`. A key that has not
/// failed for `2 * max` is forgotten.
#[derive(Debug)]
pub struct Backoff<K> {
    initial: Duration,
    max: Duration,
    entries: HashMap<K, Entry>,
}

impl<K: Hash + Eq> Backoff<K> {
    /// Delays from `initial` to `max`.
    #[must_use]
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self { initial, max, entries: HashMap::new() }
    }

    /// How long `key` has to wait at `now`; `None` if it may be tried.
    #[must_use]
    pub fn remaining(&self, key: &K, now: Instant) -> Option<Duration> {
        let entry = self.entries.get(key)?;
        let left = (entry.failed_at + entry.delay).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Notes a failure of `key` at `now`.
    pub fn failed(&mut self, key: &K, now: Instant)
    where
        K: Clone,
    {
        let forgotten = self.max * 2;
        let delay = match self.entries.get(key) {
            Some(entry) if now.saturating_duration_since(entry.failed_at) <= forgotten => {
                (entry.delay * 2).min(self.max)
            }
            _ => self.initial.min(self.max),
        };
        self.entries.insert(key.clone(), Entry { delay, failed_at: now });
    }

    /// Forgets `key`, because it succeeded.
    pub fn reset(&mut self, key: &K) {
        self.entries.remove(key);
    }

    /// Forgets keys that have not failed for `2 * max`.
    pub fn prune(&mut self, now: Instant) {
        let forgotten = self.max * 2;
        self.entries.retain(|_, entry| now.saturating_duration_since(entry.failed_at) <= forgotten);
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no key is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn doubles_resets_and_forgets() {
        let mut backoff = Backoff::new(10 * SECOND, 300 * SECOND);
        let mut now = Instant::now();
        assert_eq!(backoff.remaining(&"a", now), None);
        for expected in [10, 20, 40, 80, 160, 300, 300] {
            backoff.failed(&"a", now);
            assert_eq!(backoff.remaining(&"a", now), Some(expected * SECOND));
            now += expected * SECOND;
            assert_eq!(backoff.remaining(&"a", now), None);
        }
        now += 601 * SECOND;
        backoff.failed(&"a", now);
        assert_eq!(backoff.remaining(&"a", now), Some(10 * SECOND));
        backoff.reset(&"a");
        assert!(backoff.is_empty());
        backoff.failed(&"b", now);
        backoff.prune(now + 601 * SECOND);
        assert!(backoff.is_empty());
    }

    proptest! {
        #[test]
        fn never_waits_longer_than_the_maximum(gaps in proptest::collection::vec(0u64..2000, 1..40)) {
            let mut backoff = Backoff::new(10 * SECOND, 300 * SECOND);
            let mut now = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async { Instant::now() });
            for gap in gaps {
                now += Duration::from_secs(gap);
                backoff.failed(&0, now);
                let left = backoff.remaining(&0, now).unwrap();
                prop_assert!(left >= 10 * SECOND && left <= 300 * SECOND);
            }
        }
    }
}
