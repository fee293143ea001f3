//! Whether the event stream says what it should. A stream can stay open and fall silent; berth notices because it
//! knows of transitions (its own starts and stops, and what a relist finds) that the stream must tell of.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use types::ContainerId;

use crate::changes::Coarse;

/// How late an event may be before the stream is held to have lost it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// How long an event is remembered whose transition has not been seen. A look at a pod may take this long.
const MEMORY: Duration = Duration::from_secs(150);

/// Looks and lists in the order in which they began.
pub(crate) type Turn = u64;

/// Transitions and events that have not met yet.
#[derive(Default, Debug)]
pub(crate) struct Trust {
    /// The first turn after the stream was opened; `None`: there is no stream.
    open_since: Option<Turn>,
    /// Transitions seen, with the time by which their event is due.
    due: BTreeMap<(ContainerId, Coarse), Instant>,
    /// Events heard before the transition was seen, with the time after which they are forgotten.
    heard: BTreeMap<(ContainerId, Coarse), Instant>,
}

impl Trust {
    /// A stream was opened before turn `now`.
    pub(crate) fn opened(&mut self, now: Turn) {
        *self = Self { open_since: Some(now), ..Self::default() };
    }

    /// There is no stream any more.
    pub(crate) fn closed(&mut self) {
        *self = Self::default();
    }

    /// A transition was seen that had not happened yet in turn `before` (`None`: nobody knows when it happened). If the
    /// stream was open then, its event is due, unless it was heard already. Tells whether there is a new deadline.
    pub(crate) fn saw(
        &mut self,
        container: &ContainerId,
        state: Coarse,
        before: Option<Turn>,
        now: Instant,
    ) -> bool {
        let key = (container.clone(), state);
        if self.heard.remove(&key).is_some() || self.open_since.is_none() || before < self.open_since {
            return false;
        }
        self.due.entry(key).or_insert(now + PATIENCE);
        true
    }

    /// An event was heard.
    pub(crate) fn heard(&mut self, container: &ContainerId, state: Coarse, now: Instant) {
        let key = (container.clone(), state);
        if self.due.remove(&key).is_none() {
            self.heard.retain(|_, until| *until > now);
            self.heard.insert(key, now + MEMORY);
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> (Trust, ContainerId, Instant) {
        let mut trust = Trust::default();
        trust.opened(7);
        (trust, ContainerId::from("c"), Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_never_comes_is_overdue() {
        let (mut trust, id, now) = opened();
        assert!(trust.saw(&id, Coarse::Running, Some(7), now));
        assert_eq!(trust.overdue(now), None);
        assert_eq!(trust.overdue(trust.deadline().unwrap()), Some(&id));
        trust.heard(&id, Coarse::Running, now);
        assert_eq!(trust.deadline(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_may_come_first() {
        let (mut trust, id, now) = opened();
        trust.heard(&id, Coarse::Exited, now);
        trust.saw(&id, Coarse::Exited, Some(8), now + MEMORY / 2);
        assert_eq!(trust.deadline(), None);
        trust.saw(&id, Coarse::Running, Some(8), now);
        assert!(trust.deadline().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_happened_before_the_stream_is_not_due() {
        let (mut trust, id, now) = opened();
        trust.saw(&id, Coarse::Exited, Some(6), now);
        trust.saw(&id, Coarse::Exited, None, now);
        assert_eq!(trust.deadline(), None);
        trust.closed();
        trust.saw(&id, Coarse::Exited, Some(8), now);
        assert_eq!(trust.deadline(), None);
    }
}
