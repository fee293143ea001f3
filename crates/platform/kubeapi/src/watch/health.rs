//! How a watch fares, for whoever asks why nothing comes.

use std::sync::Arc;

use jiff::Timestamp;

use crate::ApiError;

/// Whether a watch hears the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    /// It has not had an answer yet.
    Starting {
        /// Since when.
        since: Timestamp,
    },
    /// It hears the server. A watch that is renewed stays connected.
    Connected {
        /// Since when.
        since: Timestamp,
    },
    /// It does not. What it has told goes on being the truth as it was.
    Failing {
        /// Since when.
        since: Timestamp,
        /// How often it was tried since then.
        attempts: u32,
        /// What happened last.
        error: Arc<ApiError>,
    },
}

impl Health {
    pub(super) fn starting() -> Self {
        Self::Starting { since: Timestamp::now() }
    }

    /// Whether it hears the server.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    /// Takes note that the server is heard. Returns whether that is new.
    pub(super) fn connected(&mut self) -> bool {
        if self.is_connected() {
            return false;
        }
        *self = Self::Connected { since: Timestamp::now() };
        true
    }

    /// Takes note of a failure.
    pub(super) fn failed(&mut self, failure: ApiError) {
        match self {
            Self::Failing { attempts, error, .. } => {
                *attempts = attempts.saturating_add(1);
                *error = Arc::new(failure);
            }
            _ => *self = Self::Failing { since: Timestamp::now(), attempts: 1, error: Arc::new(failure) },
        }
    }
}
