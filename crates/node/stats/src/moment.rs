//! When something was read.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use linux::proc;

/// A moment on two clocks: one that others understand, and one that nobody sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Moment {
    /// The time of day.
    pub(crate) at: Timestamp,
    /// Time since the machine booted.
    pub(crate) since_boot: Duration,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self { at: Timestamp::now(), since_boot: proc::since_boot() }
    }

    /// How much later than `earlier` it is; nothing if it is not.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.since_boot.saturating_sub(earlier.since_boot)
    }

    /// When the machine booted.
    pub(crate) fn boot(self) -> Timestamp {
        let up = SignedDuration::try_from(self.since_boot).unwrap_or(SignedDuration::ZERO);
        self.at.saturating_sub(up).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}
