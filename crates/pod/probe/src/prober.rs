//! What pods' workers have of the prober.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use task::events::Recorder;
use task::slots::Slots;
use tokio::sync::Notify;
use tokio::time::Instant;
use types::PodUid;

use crate::metrics::Metrics;
use crate::seen::Seen;
use crate::shared::Shared;
use crate::table::Trouble;
use crate::wheel::Wheel;

/// How long a command keeps its place among those that are started at once.
const COMMAND_HOLD: Duration = Duration::from_millis(500);

/// Bounds.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Commands of probes that are started at once (at least one).
    pub commands: usize,
}

/// The prober. Clones share it.
#[derive(Clone)]
pub struct Prober {
    shared: Arc<Shared>,
}

impl Prober {
    /// A prober, and the task that makes the attempts.
    #[must_use]
    pub fn new(options: Options, recorder: Recorder, metrics: Metrics) -> (Self, Wheel) {
        let shared = Arc::new(Shared {
            table: Mutex::default(),
            touched: Notify::new(),
            metrics,
            recorder,
            began: Timestamp::now(),
        });
        let wheel = Wheel::new(Arc::clone(&shared), Slots::new(options.commands, COMMAND_HOLD));
        (Self { shared }, wheel)
    }

    /// Takes what is there of a pod now. What its probes found is in its cell when this returns.
    pub fn see(&self, seen: &Seen<'_>) {
        let mut table = self.shared.lock();
        for container in table.see(seen, self.shared.began, Timestamp::now(), Instant::now()) {
            self.shared.metrics.forget(&seen.cell.pod, &container);
        }
        if table.is_touched() {
            self.shared.touched.notify_one();
        }
    }

    /// Nothing of the pod runs any more: it is not probed.
    pub fn forget(&self, pod: &PodUid) {
        let mut table = self.shared.lock();
        let Some((cell, containers)) = table.forget(pod) else { return };
        for container in containers {
            self.shared.metrics.forget(&cell.pod, &container);
        }
        self.shared.touched.notify_one();
    }

    /// What is wrong with the probes of a pod.
    #[must_use]
    pub fn troubles(&self, pod: &PodUid) -> Vec<Trouble> {
        self.shared.lock().troubles(pod, Instant::now())
    }
}
