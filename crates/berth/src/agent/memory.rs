//! Giving back what berth holds in memory and does not need at rest.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long nothing has to come or go before what that needs is given back.
const REST: Duration = Duration::from_secs(5);

/// Calls `trim` once berth has started, and each time that pods have come or gone, when that has ended. `pods` changes
/// with them. Ends when its sender is gone.
pub(super) async fn trim_at_rest<T>(mut pods: watch::Receiver<T>, trim: impl Fn()) {
    loop {
        while let Ok(changed) = timeout(REST, pods.changed()).await {
            if changed.is_err() {
                return;
            }
        }
        trim();
        if pods.changed().await.is_err() {
            return;
        }
    }
}

/// Gives back code and constants.
pub(super) fn forget_code() {
    if let Err(error) = linux::memory::forget_code() {
        tracing::debug!(%error, "Code that is not needed now stays in memory");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn trims_when_pods_have_stopped_to_change() {
        let (pods, seen) = watch::channel(0);
        let (begun, trims) = (Instant::now(), Cell::new(Vec::new()));
        let trim = || {
            let mut times = trims.take();
            times.push(begun.elapsed().as_secs());
            trims.set(times);
        };
        let changes = async {
            sleep(Duration::from_secs(100)).await;
            for number in 0..10 {
                pods.send_replace(number);
                sleep(Duration::from_secs(1)).await;
            }
            sleep(Duration::from_secs(100)).await;
            drop(pods);
        };
        tokio::join!(trim_at_rest(seen, trim), changes);
        assert_eq!(trims.take(), [5, 114]);
    }
}
