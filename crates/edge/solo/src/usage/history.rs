//! The readings of a node that later ones are compared with.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Reading;

/// Over less than this, CPU time says nothing.
pub(super) const SHORTEST: Duration = Duration::from_secs(1);
/// Over this time it is steady; between those who ask more often the same earlier reading serves.
const STEADY: Duration = Duration::from_secs(10);
/// What is compared with an older reading says nothing of now.
const LONGEST: Duration = Duration::from_secs(60);

/// At most two readings, the older one first, at least [`STEADY`] apart.
#[derive(Clone, Debug, Default)]
pub(super) struct History(VecDeque<(Instant, Arc<Reading>)>);

impl History {
    /// What a reading of `now` is compared with: the latest one of long enough ago, or else the oldest.
    pub(super) fn base(&self, now: Instant) -> Option<Arc<Reading>> {
        let age = |(at, _): &&(Instant, Arc<Reading>)| now.duration_since(*at);
        let usable = || self.0.iter().filter(move |one| (SHORTEST..=LONGEST).contains(&age(one)));
        let steady = usable().rev().find(|one| age(one) >= STEADY);
        steady.or_else(|| usable().next()).map(|(_, reading)| Arc::clone(reading))
    }

    /// Keeps a reading, unless the latest one serves as well.
    pub(super) fn add(&mut self, now: Instant, reading: &Arc<Reading>) {
        if self.0.back().is_some_and(|(at, _)| now.duration_since(*at) < STEADY) {
            return;
        }
        self.0.push_back((now, Arc::clone(reading)));
        while self.0.len() > 2 {
            self.0.pop_front();
        }
    }

    /// Whether anything of it may still be compared with.
    pub(super) fn is_of_use(&self, now: Instant) -> bool {
        self.0.back().is_some_and(|(at, _)| now.duration_since(*at) <= LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long before each asking the reading was made that it is compared with, in seconds.
    fn windows(asked: &[u64]) -> Vec<Option<u64>> {
        let begun = Instant::now();
        let mut history = History::default();
        let mut readings: Vec<(u64, Arc<Reading>)> = Vec::new();
        let mut windows = Vec::new();
        for second in asked {
            let (now, reading) = (begun + Duration::from_secs(*second), Arc::new(Reading::default()));
            let base = history.base(now);
            windows.push(base.map(|base| {
                let (at, _) = readings.iter().find(|(_, one)| Arc::ptr_eq(one, &base)).unwrap();
                second - at
            }));
            history.add(now, &reading);
            readings.push((*second, reading));
        }
        windows
    }

    #[test]
    fn readings_are_compared_over_a_while() {
        for (asked, expected) in [
            (&[0, 0, 1, 2, 9][..], &[None, None, Some(1), Some(2), Some(9)][..]),
            (&[0, 10, 12, 19, 20, 22], &[None, Some(10), Some(12), Some(19), Some(10), Some(12)]),
            (&[0, 15, 30, 45], &[None, Some(15), Some(15), Some(15)]),
            (&[0, 60, 121, 123], &[None, Some(60), None, Some(2)]),
        ] {
            assert_eq!(windows(asked), expected, "{asked:?}");
        }
    }

    #[test]
    fn what_is_old_is_of_no_use() {
        let begun = Instant::now();
        let mut history = History::default();
        assert!(!history.is_of_use(begun));
        history.add(begun, &Arc::default());
        assert!(history.is_of_use(begun + LONGEST) && !history.is_of_use(begun + LONGEST + SHORTEST));
    }
}
