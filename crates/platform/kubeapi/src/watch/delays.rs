//! How long to wait before the server is tried again.

use std::time::Duration;

use task::doubling::Doubling;

use crate::jitter;

const DELAYS: Doubling = Doubling::new(Duration::from_millis(800), Duration::from_secs(30));

/// Delays that double with each failure in a row.
#[derive(Default)]
pub(super) struct Delays {
    failures: u32,
}

impl Delays {
    /// Takes note that all is well.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Takes note of a failure, and returns how long to wait: half of the delay for sure, and some of the other half;
    /// never less than what the server asks for.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let half = DELAYS.after(self.failures) / 2;
        (half + jitter::up_to(half)).max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest() {
        let mut delays = Delays::default();
        for longest in [800, 1600, 3200, 6400, 12800, 25600, 30000, 30000] {
            let delay = delays.next(None).as_millis();
            assert!((longest / 2..=longest).contains(&delay), "{delay} of {longest}");
        }
        delays.reset();
        assert_eq!(delays.next(Some(Duration::from_secs(5))), Duration::from_secs(5));
        for _ in 0..100 {
            assert!(delays.next(None) <= DELAYS.longest());
        }
    }
}
