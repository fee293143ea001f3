//! Whether a connection is in use.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// The requests of one connection. Clones count in the same place.
#[derive(Clone, Debug)]
pub(crate) struct Activity {
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, Default, Debug)]
struct State {
    answering: usize,
    /// Whether there was a request at all.
    used: bool,
}

/// One request that is being answered.
#[derive(Debug)]
pub(crate) struct Answering(Arc<watch::Sender<State>>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.send_modify(|state| state.answering -= 1);
    }
}

impl Activity {
    pub(crate) fn new() -> Self {
        Self { state: Arc::new(watch::Sender::default()) }
    }

    /// Counts a request until the guard is dropped.
    pub(crate) fn begin(&self) -> Answering {
        self.state.send_modify(|state| {
            state.answering += 1;
            state.used = true;
        });
        Answering(Arc::clone(&self.state))
    }

    /// Returns when there was no request within `first`, or when none is being answered for `idle`.
    pub(crate) async fn idle(&self, first: Duration, idle: Duration) {
        let mut seen = self.state.subscribe();
        loop {
            let state = *seen.borrow_and_update();
            // The sender is this very activity.
            if state.answering > 0 {
                let _ = seen.changed().await;
                continue;
            }
            let patience = if state.used { idle } else { first };
            if timeout(patience, seen.changed()).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const FIRST: Duration = Duration::from_secs(30);
    const IDLE: Duration = Duration::from_secs(90);

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_while_nothing_is_answered() {
        let begun = Instant::now();
        let activity = Activity::new();
        activity.idle(FIRST, IDLE).await;
        assert_eq!(begun.elapsed(), FIRST, "nobody asked for anything");

        let (one, two) = (activity.begin(), activity.begin());
        let waiting = activity.clone();
        let idle = tokio::spawn(async move { waiting.idle(FIRST, IDLE).await });
        tokio::time::sleep(10 * IDLE).await;
        drop(one);
        tokio::time::sleep(10 * IDLE).await;
        assert!(!idle.is_finished(), "one is still being answered");
        drop(two);
        let begun = Instant::now();
        idle.await.unwrap();
        assert_eq!(begun.elapsed(), IDLE);
    }
}
