//! A bound on how many do something at once, that one who hangs does not hold for ever.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

/// Places for a number of holders; whoever waits longest comes next. Clones share the places.
#[derive(Clone, Debug)]
pub struct Slots {
    places: Arc<Semaphore>,
    hold: Duration,
}

impl Slots {
    /// `count` places (at least one), each given to the next one after `hold` even if its holder is not done.
    #[must_use]
    pub fn new(count: usize, hold: Duration) -> Self {
        Self { places: Arc::new(Semaphore::new(count.clamp(1, Semaphore::MAX_PERMITS))), hold }
    }

    /// Waits for a place. Must be called within a tokio runtime.
    pub async fn acquire(&self) -> Slot {
        // The semaphore is never closed, so that there always is a permit in the end.
        let permit = self.places.clone().acquire_owned().await.ok();
        let permit = Arc::new(Mutex::new(permit));
        let (held, hold) = (permit.clone(), self.hold);
        let timer = tokio::spawn(async move {
            tokio::time::sleep(hold).await;
            give_up(&held);
        });
        Slot { permit, timer: timer.abort_handle() }
    }

    /// How many places are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.places.available_permits()
    }
}

type Permit = Mutex<Option<OwnedSemaphorePermit>>;

fn give_up(permit: &Permit) {
    permit.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// A place. Dropping it gives it to the next one.
#[derive(Debug)]
pub struct Slot {
    permit: Arc<Permit>,
    timer: AbortHandle,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.timer.abort();
        give_up(&self.permit);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    const HOLD: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_dropped_slot_is_free_at_once() {
        let slots = Slots::new(1, HOLD);
        let start = Instant::now();
        for _ in 0..3 {
            drop(slots.acquire().await);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        assert_eq!(slots.free(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_holds_up_the_next_for_the_set_time_only() {
        let slots = Slots::new(1, HOLD);
        let start = Instant::now();
        let hanging = slots.acquire().await;
        let next = slots.acquire().await;
        assert_eq!(start.elapsed().as_secs(), HOLD.as_secs());
        drop(hanging);
        assert_eq!(slots.free(), 0, "a place given up is not freed a second time");
        drop(next);
        assert_eq!(slots.free(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stops_waiting_takes_no_place() {
        let slots = Slots::new(0, HOLD);
        let held = slots.acquire().await;
        assert!(timeout(Duration::from_secs(1), slots.acquire()).await.is_err());
        drop(held);
        assert_eq!(slots.free(), 1);
    }
}
