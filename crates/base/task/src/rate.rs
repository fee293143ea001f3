//! A bound on how often something happens.

use std::time::Duration;

use tokio::time::Instant;

/// A token bucket: `qps` tokens come in each second, and at most `burst` are kept.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    qps: f64,
    burst: f64,
    tokens: f64,
    /// Up to when tokens have come in; `None` before the first request.
    filled_at: Option<Instant>,
}

impl TokenBucket {
    /// A full bucket. A `qps` of 0 or less is no bound at all; a `burst` below 1 counts as 1.
    #[must_use]
    pub fn new(qps: f64, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self { qps, burst, tokens: burst, filled_at: None }
    }

    /// Takes a token, if there is one.
    pub fn try_take(&mut self, now: Instant) -> bool {
        if self.qps <= 0.0 {
            return true;
        }
        self.fill(now);
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }

    /// Takes a token that may have yet to come in. Returns how long that is from `now`; whoever took one before has
    /// the earlier turn.
    pub fn reserve(&mut self, now: Instant) -> Duration {
        if self.qps <= 0.0 {
            return Duration::ZERO;
        }
        self.fill(now);
        self.tokens -= 1.0;
        if self.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.tokens / self.qps) }
    }

    fn fill(&mut self, now: Instant) {
        let since = self.filled_at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        self.filled_at = Some(self.filled_at.map_or(now, |at| at.max(now)));
        self.tokens = (self.tokens + since * self.qps).min(self.burst);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn burst_then_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(5.0, 10);
        let taken = |bucket: &mut TokenBucket, at| (0..100).filter(|_| bucket.try_take(at)).count();
        assert_eq!(taken(&mut bucket, start), 10);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(1)), 5);
        assert_eq!(taken(&mut bucket, start + Duration::from_secs(60)), 10);
        assert_eq!(taken(&mut TokenBucket::new(0.0, 1), start), 100);
        assert_eq!(taken(&mut TokenBucket::new(1.0, 0), start), 1);
    }

    #[test]
    fn turns_come_at_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10.0, 2);
        let waits: Vec<_> = (0..4).map(|_| bucket.reserve(start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 100, 200]);
        assert!(!bucket.try_take(start + Duration::from_millis(200)));
        assert_eq!(bucket.reserve(start + Duration::from_millis(200)).as_millis(), 100);
        assert_eq!(TokenBucket::new(0.0, 1).reserve(start), Duration::ZERO);
    }

    proptest! {
        /// Over any stretch of time no more comes out than the burst and what came in.
        #[test]
        fn never_more_than_allowed(gaps in prop::collection::vec(0..3000u64, 1..200), qps in 1..50u32, burst in 1..50u32) {
            let start = Instant::now();
            let mut bucket = TokenBucket::new(f64::from(qps), burst);
            let mut at = start;
            let mut taken = 0u32;
            for gap in gaps {
                at += Duration::from_millis(gap);
                taken += u32::from(bucket.try_take(at));
                let allowed = f64::from(burst) + (at - start).as_secs_f64() * f64::from(qps);
                prop_assert!(f64::from(taken) <= allowed + 1e-6);
            }
        }
    }
}
