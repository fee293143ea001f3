//! The way of events to whoever publishes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::mpsc;
use types::Event;

/// Hands events over. Clones hand over to the same receiver.
#[derive(Clone, Debug)]
pub struct Recorder {
    sender: mpsc::Sender<Event>,
    dropped: Arc<AtomicU64>,
}

impl Recorder {
    /// A recorder, and where its events come out. `capacity` (at least 1) of them wait there at most.
    #[must_use]
    pub fn channel(capacity: usize) -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        (Self { sender, dropped: Arc::default() }, receiver)
    }

    /// Records `event`. Never waits: when there is no room, or nobody listens any more, the event is dropped and
    /// counted.
    pub fn record(&self, event: Event) {
        if self.sender.try_send(event).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
    }

    /// How many events have been dropped so far.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use types::{PodName, PodRef};

    use super::*;

    #[tokio::test]
    async fn drops_and_counts_what_does_not_fit() {
        let pod = PodRef { name: PodName::new("default", "web"), uid: "1".into() };
        let (recorder, mut events) = Recorder::channel(2);
        for message in ["a", "b", "c"] {
            recorder.clone().record(Event::normal(&pod, types::reason::event::CREATED, message));
        }
        assert_eq!(recorder.dropped(), 1);
        assert_eq!(events.recv().await.unwrap().message, "a");
        assert_eq!(events.recv().await.unwrap().message, "b");
        drop(events);
        recorder.record(Event::normal(&pod, types::reason::event::CREATED, "d"));
        assert_eq!(recorder.dropped(), 2);
    }
}
