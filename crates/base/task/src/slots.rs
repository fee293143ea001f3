//! A bound on how much goes on at once that one hung piece of work cannot use up.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// A number of places, given out first come, first served. A place is given up when its holder drops it, or when it
/// was held for a set time: the holder goes on, and so does the next one.
#[derive(Clone, Debug)]
pub struct Slots {
    places: Arc<Semaphore>,
    hold: Duration,
}

impl Slots {
    /// `places` places (at least one), each counted for at most `hold`.
    #[must_use]
    pub fn new(places: usize, hold: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(places.max(1))), hold }
    }

    /// Waits for a place.
    pub async fn acquire(&self) -> Slot {
        let permit = Arc::clone(&self.places).acquire_owned().await.ok();
        let hold = self.hold;
        Slot { keeper: tokio::spawn(async move { keep(permit, hold).await }) }
    }
}

async fn keep(permit: Option<OwnedSemaphorePermit>, hold: Duration) {
    tokio::time::sleep(hold).await;
    drop(permit);
}

/// A place, until it is dropped or its time is up.
#[derive(Debug)]
pub struct Slot {
    keeper: JoinHandle<()>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hung_holder_does_not_keep_the_next_one_waiting_for_ever() {
        let slots = Slots::new(1, Duration::from_secs(5));
        let begun = tokio::time::Instant::now();
        let _hung = slots.acquire().await;
        let second = slots.acquire().await;
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
        drop(second);
        let _third = slots.acquire().await;
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }
}
