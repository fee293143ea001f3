//! Delays that double.

use std::time::Duration;

/// Delays that begin with one and double up to a longest one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Doubling {
    first: Duration,
    longest: Duration,
}

impl Doubling {
    /// From `first` to `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The longest delay.
    #[must_use]
    pub const fn longest(self) -> Duration {
        self.longest
    }

    /// The delay that follows `last`; the first if there was none.
    #[must_use]
    pub fn next(self, last: Option<Duration>) -> Duration {
        last.map_or(self.first, |last| last.saturating_mul(2)).min(self.longest)
    }

    /// The delay after so many failures in a row: the first one after one.
    #[must_use]
    pub fn after(self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1));
        self.first.saturating_mul(factor).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest() {
        let delays = Doubling::new(Duration::from_millis(200), Duration::from_secs(7));
        let expected = [200, 400, 800, 1600, 3200, 6400, 7000, 7000];
        let mut last = None;
        for (failures, expected) in (1..).zip(expected) {
            let next = delays.next(last);
            assert_eq!((next.as_millis(), delays.after(failures)), (expected, next));
            last = Some(next);
        }
        assert_eq!(delays.after(u32::MAX), delays.longest());
        assert_eq!(delays.next(Some(Duration::MAX)), delays.longest());
        let short = Doubling::new(Duration::from_secs(2), Duration::from_secs(1));
        assert_eq!((short.next(None), short.after(1)), (short.longest(), short.longest()));
    }
}
