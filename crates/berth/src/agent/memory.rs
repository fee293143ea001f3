//! Giving back what berth holds in memory and does not need at rest.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long nothing has to happen before what that needed is given back.
const REST: Duration = Duration::from_secs(5);

/// Calls `trim` once berth has started, and each time that pods have come or gone or somebody has asked for something, when
/// that has ended. `pods` changes with pods, `answered` with requests. Ends when the sender of `pods` is gone.
pub(super) async fn trim_at_rest<T>(
    mut pods: watch::Receiver<T>,
    mut answered: watch::Receiver<()>,
    trim: impl Fn(),
) {
    let mut happened = async || {
        tokio::select! {
            changed = pods.changed() => changed.is_ok(),
            // A node need not have an API of its own.
            Ok(()) = answered.changed() => true,
        }
    };
    loop {
        while let Ok(goes_on) = timeout(REST, happened()).await {
            if !goes_on {
                return;
            }
        }
        trim();
        if !happened().await {
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
    async fn trims_when_nothing_has_happened_for_a_while() {
        let (pods, seen) = watch::channel(0);
        let (answered, answers) = watch::channel(());
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
            answered.send_replace(());
            sleep(Duration::from_secs(10)).await;
            drop(answered);
            sleep(Duration::from_secs(100)).await;
            drop(pods);
        };
        tokio::join!(trim_at_rest(seen, answers, trim), changes);
        assert_eq!(trims.take(), [5, 114, 215]);
    }
}
