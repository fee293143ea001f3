//! Events that wait to be sent.

use std::collections::VecDeque;

use super::correlate::Outgoing;

/// At most so many wait; then the oldest goes.
const MOST: usize = 1000;

/// Events that wait, in the order in which they first happened.
#[derive(Default)]
pub(super) struct Queue(VecDeque<Outgoing>);

impl Queue {
    /// Adds an event. One that waits already has just its count and time brought up to date. Returns whether another
    /// one was dropped for it.
    pub(super) fn push(&mut self, outgoing: Outgoing) -> bool {
        if let Some(waiting) = self.0.iter_mut().find(|waiting| waiting.name == outgoing.name) {
            *waiting = Outgoing { again: waiting.again, ..outgoing };
            return false;
        }
        self.0.push_back(outgoing);
        let full = self.0.len() > MOST;
        if full {
            self.0.pop_front();
        }
        full
    }

    pub(super) fn pop(&mut self) -> Option<Outgoing> {
        self.0.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tokio::time::Instant;
    use types::{Event, PodName, PodRef};

    use super::super::correlate::Correlator;
    use super::*;

    #[test]
    fn repeats_wait_as_one_and_the_oldest_goes() {
        let mut correlator = Correlator::new();
        let mut tell = |name: &str| {
            let pod = PodRef { name: PodName::new("n", name), uid: name.into() };
            let event = Event::normal(&pod, "Pulled", "m");
            correlator.correlate(event, name, Timestamp::now(), Instant::now()).unwrap()
        };
        let mut queue = Queue::default();
        assert!(!queue.push(tell("a")));
        assert!(!queue.push(tell("a")));
        let waiting = queue.pop().unwrap();
        assert_eq!((waiting.count, waiting.again), (2, false), "none of them was sent");
        assert!(queue.pop().is_none());
        assert!((0..MOST).all(|index| !queue.push(tell(&index.to_string()))));
        assert!(queue.push(tell("last")));
        assert!(queue.pop().unwrap().name.starts_with("1."));
    }
}
