//! Who asks a driver how full volumes are: a few at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How many volumes a driver is asked at once how full they are. It is the only question that is asked often, and about many
/// volumes at once.
const CALLS: usize = 8;
/// How long such a question waits for the others.
const PATIENCE: Duration = Duration::from_secs(10);

/// The places of those who ask drivers how full volumes are, by the driver's name.
#[derive(Clone, Default, Debug)]
pub(crate) struct UsageCalls(Arc<Mutex<HashMap<String, Arc<Semaphore>>>>);

impl UsageCalls {
    /// Waits for a place; none if the driver takes its time with all that were asked before.
    pub(crate) async fn place(&self, driver: &str) -> Option<OwnedSemaphorePermit> {
        let places = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(Semaphore::new(CALLS));
            Arc::clone(all.entry(driver.to_owned()).or_insert_with(new))
        };
        timeout(PATIENCE, places.acquire_owned()).await.ok()?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_driver_that_hangs_is_asked_about_a_few_volumes_alone() {
        let calls = UsageCalls::default();
        let mut held = Vec::new();
        for _ in 0..CALLS {
            held.push(calls.place("hangs").await.unwrap());
        }
        assert!(calls.place("hangs").await.is_none());
        assert!(calls.place("other").await.is_some());
        held.pop();
        assert!(calls.place("hangs").await.is_some());
    }
}
