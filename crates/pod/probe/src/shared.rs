//! What workers and the wheel share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use task::events::Recorder;
use tokio::sync::Notify;

use crate::metrics::Metrics;
use crate::table::Table;

/// What workers and the wheel share. The lock is never held over an await.
pub(crate) struct Shared {
    pub(crate) table: Mutex<Table>,
    /// Rings when a probe may be due at another time than before.
    pub(crate) touched: Notify,
    pub(crate) metrics: Metrics,
    pub(crate) recorder: Recorder,
    /// When berth was started, on the clock of the day.
    pub(crate) began: Timestamp,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
