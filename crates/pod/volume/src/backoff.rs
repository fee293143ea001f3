//! When what failed with a volume is tried again (Kubernetes: `exponentialbackoff`, for operations on volumes). Pure.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use task::doubling::Doubling;
use tokio::time::Instant;

/// How long an operation rests after each failure.
pub const RESTS: Doubling = Doubling::new(FIRST, Duration::from_secs(122));

/// How long what others have to mend, and of which nobody tells that they have, is not looked at after each failure.
pub(crate) const LOOKS: Doubling = Doubling::new(FIRST, Duration::from_secs(10));

const FIRST: Duration = Duration::from_millis(500);

/// What failed lately, by what it was. Whatever a key is made of that has changed makes it another key, and is tried at once.
#[derive(Debug)]
pub struct BackOff<K>(HashMap<K, Failure>);

#[derive(Debug)]
struct Failure {
    at: Instant,
    rest: Duration,
    why: Arc<str>,
}

/// What is not to be tried yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rest {
    /// For how long.
    pub left: Duration,
    /// Why it failed.
    pub why: Arc<str>,
}

impl<K> Default for BackOff<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> BackOff<K> {
    /// Whether `key` is not to be tried yet.
    #[must_use]
    pub fn rest(&self, key: &K, now: Instant) -> Option<Rest> {
        let failure = self.0.get(key)?;
        let left = (failure.at + failure.rest).saturating_duration_since(now);
        (!left.is_zero()).then(|| Rest { left, why: Arc::clone(&failure.why) })
    }

    /// Whether the last try of `key` failed.
    #[must_use]
    pub fn has_failed(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// A try of `key` failed that had begun at `began`. Returns how long it rests now. Of tries that were made beside each
    /// other the first to fail counts.
    pub fn failed(&mut self, key: K, why: &str, [began, now]: [Instant; 2], rests: Doubling) -> Duration {
        // What nobody tries any more takes no memory.
        self.0.retain(|_, failure| now <= failure.at + failure.rest + RESTS.longest() * 2);
        let rest = match self.0.get(&key) {
            Some(last) if last.at > began => {
                return (last.at + last.rest).saturating_duration_since(now);
            }
            last => rests.next(last.map(|last| last.rest)),
        };
        self.0.insert(key, Failure { at: now, rest, why: why.into() });
        rest
    }

    /// A try of `key` succeeded.
    pub fn succeeded(&mut self, key: &K) {
        self.0.remove(key);
    }

    /// Forgets the keys of which `is_gone` says so.
    pub fn forget(&mut self, is_gone: impl Fn(&K) -> bool) {
        self.0.retain(|key, _| !is_gone(key));
    }

    /// The keys that are not to be tried yet.
    pub fn resting(&self, now: Instant) -> impl Iterator<Item = &K> {
        self.0.keys().filter(move |key| self.rest(key, now).is_some())
    }

    /// How long until the first of those that failed is to be tried: no time if one is due already, and nothing if none failed.
    #[must_use]
    pub fn due_in(&self, now: Instant) -> Option<Duration> {
        self.0.values().map(|failure| (failure.at + failure.rest).saturating_duration_since(now)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_until_the_longest_and_begin_anew_after_a_success() {
        let (mut back_off, mut now) = (BackOff::default(), Instant::now());
        let mut rests = Vec::new();
        for _ in 0..10 {
            let rest = back_off.failed("v", "no", [now, now], RESTS);
            rests.push(rest.as_millis());
            assert_eq!(back_off.rest(&"v", now), Some(Rest { left: rest, why: "no".into() }));
            // Tried again when it is due, which may take as long as a volume may take.
            now += rest;
            assert_eq!(back_off.rest(&"v", now), None);
            now += Duration::from_secs(123);
        }
        assert_eq!(rests, [500, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 122_000, 122_000]);
        back_off.succeeded(&"v");
        assert!(!back_off.has_failed(&"v"));
        let short = Doubling::new(FIRST, Duration::from_millis(700));
        assert_eq!(back_off.failed("v", "no", [now, now], short), FIRST);
        assert_eq!(back_off.failed("v", "no", [now, now], short).as_millis(), 700);
        back_off.succeeded(&"v");
        let rests = (0..7).map(|_| back_off.failed("v", "no", [now, now], LOOKS).as_millis());
        assert_eq!(rests.collect::<Vec<_>>(), [500, 1000, 2000, 4000, 8000, 10000, 10000]);
    }

    #[test]
    fn what_was_tried_beside_each_other_counts_once() {
        let (mut back_off, start) = (BackOff::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        for (began, now, expected) in [
            (0, 100, 500),
            // It began before the other one failed.
            (50, 200, 400),
            (50, 900, 0),
            (900, 1000, 1000),
        ] {
            let rest = back_off.failed("v", "no", [at(began), at(now)], RESTS);
            assert_eq!(rest, Duration::from_millis(expected), "{began} {now}");
        }
    }

    #[test]
    fn keys_rest_by_themselves_and_go() {
        let (mut back_off, now) = (BackOff::default(), Instant::now());
        back_off.failed("a", "no", [now, now], RESTS);
        back_off.failed("b", "no", [now, now], RESTS);
        back_off.failed("b", "no", [now, now], RESTS);
        let mut resting: Vec<_> = back_off.resting(now).collect();
        resting.sort_unstable();
        assert_eq!((resting, back_off.due_in(now)), (vec![&"a", &"b"], Some(FIRST)));
        let later = now + FIRST;
        assert_eq!(back_off.resting(later).collect::<Vec<_>>(), [&"b"]);
        assert_eq!(back_off.due_in(later), Some(Duration::ZERO), "one that was missed is due");
        back_off.forget(|key| *key == "b");
        assert_eq!(back_off.resting(now).collect::<Vec<_>>(), [&"a"]);
        back_off.failed("c", "no", [now + RESTS.longest() * 3; 2], RESTS);
        assert!(!back_off.has_failed(&"a"), "long ago");
    }
}
