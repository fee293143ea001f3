//! How often the API server is asked (`kubeAPIQPS`, `kubeAPIBurst`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use task::rate::TokenBucket;
use tokio::time::Instant;

/// At most `qps` requests a second on average, and `burst` at once. Clones share the bound.
#[derive(Clone, Debug)]
pub(crate) struct Limiter(Arc<Mutex<TokenBucket>>);

impl Limiter {
    /// A `qps` of 0 or less is no bound.
    pub(crate) fn new(qps: f64, burst: u32) -> Self {
        Self(Arc::new(Mutex::new(TokenBucket::new(qps, burst))))
    }

    /// Waits for its turn, in the order in which it was asked. Returns how long that took.
    pub(crate) async fn turn(&self) -> Duration {
        let wait = self.0.lock().unwrap_or_else(PoisonError::into_inner).reserve(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_at_the_rate() {
        let limiter = Limiter::new(50.0, 100);
        let start = Instant::now();
        let mut turns = tokio::task::JoinSet::new();
        for _ in 0..150 {
            let limiter = limiter.clone();
            turns.spawn(async move { limiter.turn().await });
        }
        let waits = turns.join_all().await;
        assert_eq!(waits.iter().filter(|wait| wait.is_zero()).count(), 100);
        // 50 more at 50 a second; the timer has a step of its own.
        assert!((1000..=1002).contains(&start.elapsed().as_millis()));
        assert_eq!(Limiter::new(0.0, 1).turn().await, Duration::ZERO);
    }
}
