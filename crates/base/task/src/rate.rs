//! A token bucket: so many per second, and a burst above that.

use std::time::Duration;

use tokio::time::Instant;

/// A rate limit that never waits: it says yes or no.
#[derive(Debug)]
pub struct TokenBucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled_at: Option<Instant>,
}

impl TokenBucket {
    /// `per_second` on average, at most `burst` at once. 0 per second means no limit.
    #[must_use]
    pub fn new(per_second: f64, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self { per_second, burst, tokens: burst, filled_at: None }
    }

    /// Whether one more is allowed at `now`; if so, it is taken.
    pub fn try_take(&mut self, now: Instant) -> bool {
        if self.per_second <= 0.0 {
            return true;
        }
        let passed = self.filled_at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.filled_at = Some(now);
        self.tokens = (self.tokens + passed.as_secs_f64() * self.per_second).min(self.burst);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn allows_a_burst_then_the_rate() {
        let mut bucket = TokenBucket::new(5.0, 10);
        let now = Instant::now();
        assert_eq!((0..20).filter(|_| bucket.try_take(now)).count(), 10);
        assert!(bucket.try_take(now + Duration::from_millis(210)));
        assert!(!bucket.try_take(now + Duration::from_millis(220)));
        let mut unlimited = TokenBucket::new(0.0, 1);
        assert!((0..1000).all(|_| unlimited.try_take(now)));
    }
}
