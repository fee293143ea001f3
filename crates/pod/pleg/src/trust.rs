//! Whether the event stream says what it should. A stream can stay open and fall silent; berth notices because it
//! knows of transitions (its own starts and stops, and what a relist finds) that the stream must tell of.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use types::ContainerId;

use crate::changes::Coarse;

/// How late an event may be before the stream is held to have lost it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Transitions and events that have not met yet.
#[derive(Default, Debug)]
pub(crate) struct Trust {
    /// Transitions seen, with the time by which their event is due.
    due: BTreeMap<(ContainerId, Coarse), Instant>,
    /// Events heard before the transition was seen, with the time after which they are forgotten.
    heard: BTreeMap<(ContainerId, Coarse), Instant>,
}

impl Trust {
    /// A transition was seen: its event is due, unless it was heard already.
    pub(crate) fn saw(&mut self, container: &ContainerId, state: Coarse, now: Instant) {
        let key = (container.clone(), state);
        if self.heard.remove(&key).is_none() {
            self.due.entry(key).or_insert(now + PATIENCE);
        }
    }

    /// An event was heard.
    pub(crate) fn heard(&mut self, container: &ContainerId, state: Coarse, now: Instant) {
        let key = (container.clone(), state);
        if self.due.remove(&key).is_none() {
            self.heard.retain(|_, until| *until > now);
            self.heard.insert(key, now + PATIENCE);
        }
    }

    /// The time at which the next event will be overdue.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    /// The first container whose event is overdue at `now`.
    pub(crate) fn overdue(&self, now: Instant) -> Option<&ContainerId> {
        self.due.iter().find(|(_, due)| **due <= now).map(|((id, _), _)| id)
    }

    /// Starts over, with a new stream.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_event_that_never_comes_is_overdue() {
        let (mut trust, id, now) = (Trust::default(), ContainerId::from("c"), Instant::now());
        trust.saw(&id, Coarse::Running, now);
        assert_eq!(trust.overdue(now), None);
        assert_eq!(trust.overdue(trust.deadline().unwrap()), Some(&id));
        trust.heard(&id, Coarse::Running, now);
        assert_eq!(trust.deadline(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_may_come_first() {
        let (mut trust, id, now) = (Trust::default(), ContainerId::from("c"), Instant::now());
        trust.heard(&id, Coarse::Exited, now);
        trust.saw(&id, Coarse::Exited, now);
        assert_eq!(trust.deadline(), None);
        trust.saw(&id, Coarse::Running, now);
        assert!(trust.deadline().is_some());
    }
}
