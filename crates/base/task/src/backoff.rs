//! Delays between attempts that double with each failure, kept by key.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use tokio::time::Instant;

use crate::doubling::Doubling;

/// Delays by key. An entry is forgotten when twice the longest delay has gone by without a failure. Owned by one task;
/// it has no lock and reads no clock.
#[derive(Debug)]
pub struct Backoff<K> {
    delays: Doubling,
    entries: HashMap<K, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    delay: Duration,
    failed_at: Instant,
}

impl<K: Hash + Eq> Backoff<K> {
    /// Delays that begin at `initial` and double up to `max`.
    #[must_use]
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self { delays: Doubling::new(initial, max), entries: HashMap::new() }
    }

    /// How long to wait until the next attempt; `None` when it may be made at once.
    #[must_use]
    pub fn remaining(&self, key: &K, now: Instant) -> Option<Duration> {
        let entry = self.current(key, now)?;
        let remaining = (entry.failed_at + entry.delay).saturating_duration_since(now);
        (!remaining.is_zero()).then_some(remaining)
    }

    /// The whole delay that the latest failure brought; `None` when there was none, or long ago.
    #[must_use]
    pub fn delay(&self, key: &K, now: Instant) -> Option<Duration> {
        Some(self.current(key, now)?.delay)
    }

    /// Takes note of a failure at `at`, and returns the delay that follows it.
    pub fn failed(&mut self, key: &K, at: Instant) -> Duration
    where
        K: Clone,
    {
        let delay = self.delays.next(self.current(key, at).map(|entry| entry.delay));
        self.entries.insert(key.clone(), Entry { delay, failed_at: at });
        delay
    }

    /// Forgets `key`, as after a success.
    pub fn reset(&mut self, key: &K) {
        self.entries.remove(key);
    }

    /// Drops the entries that are forgotten by now, so that keys that are gone take no memory.
    pub fn prune(&mut self, now: Instant) {
        let keep = self.keep();
        self.entries.retain(|_, entry| now.saturating_duration_since(entry.failed_at) <= keep);
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

    fn current(&self, key: &K, now: Instant) -> Option<Entry> {
        let entry = self.entries.get(key)?;
        (now.saturating_duration_since(entry.failed_at) <= self.keep()).then_some(*entry)
    }

    fn keep(&self) -> Duration {
        self.delays.longest().saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn doubles_up_to_the_longest_delay() {
        let now = Instant::now();
        let mut backoff = Backoff::new(secs(10), secs(300));
        assert_eq!(backoff.remaining(&"web", now), None);
        let delays: Vec<_> = (0..7).map(|_| backoff.failed(&"web", now).as_secs()).collect();
        assert_eq!(delays, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.remaining(&"web", now + secs(100)), Some(secs(200)));
        assert_eq!(backoff.remaining(&"web", now + secs(300)), None);
        assert_eq!(backoff.delay(&"web", now + secs(300)), Some(secs(300)));
        backoff.reset(&"web");
        assert_eq!(backoff.failed(&"web", now), secs(10));
    }

    #[test]
    fn forgets_after_twice_the_longest_delay() {
        let now = Instant::now();
        let mut backoff = Backoff::new(secs(10), secs(300));
        backoff.failed(&1, now);
        assert_eq!(backoff.failed(&1, now + secs(600)), secs(20));
        assert_eq!(backoff.failed(&1, now + secs(1201)), secs(10));
        backoff.prune(now + secs(1801));
        assert_eq!(backoff.len(), 1);
        backoff.prune(now + secs(1802));
        assert!(backoff.is_empty());
    }

    proptest! {
        #[test]
        fn never_longer_than_the_longest(gaps in prop::collection::vec(0..2000u64, 1..50)) {
            let mut at = Instant::now();
            let mut backoff = Backoff::new(secs(10), secs(300));
            for gap in gaps {
                at += secs(gap);
                let delay = backoff.failed(&(), at);
                prop_assert!((secs(10)..=secs(300)).contains(&delay));
                prop_assert_eq!(backoff.remaining(&(), at), Some(delay));
            }
        }
    }
}
