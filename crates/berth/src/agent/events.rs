//! Where events go while there is no API server: to the log, and to a short memory per pod for `berth why`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::mpsc;
use types::{Event, EventKind, PodUid};

/// How many events are kept per pod.
const KEPT: usize = 10;

/// The latest events of each pod.
#[derive(Clone, Default)]
pub(super) struct EventLog {
    kept: Arc<Mutex<HashMap<PodUid, VecDeque<Kept>>>>,
}

struct Kept {
    event: Event,
    at: Timestamp,
    count: u32,
}

impl EventLog {
    fn lock(&self) -> MutexGuard<'_, HashMap<PodUid, VecDeque<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes events until their senders are gone.
    pub(super) async fn run(self, mut events: mpsc::Receiver<Event>) {
        while let Some(event) = events.recv().await {
            match (&event.pod, event.kind) {
                (Some(pod), EventKind::Warning) => {
                    tracing::info!(pod = %pod, field = event.field_path, reason = event.reason, message = event.message, "Warning event");
                }
                (Some(pod), EventKind::Normal) => {
                    tracing::debug!(pod = %pod, field = event.field_path, reason = event.reason, message = event.message, "Event");
                }
                (None, _) => {
                    tracing::info!(reason = event.reason, message = event.message, "Event about the node");
                }
            }
            self.keep(event);
        }
    }

    fn keep(&self, event: Event) {
        let Some(uid) = event.pod.as_ref().map(|pod| pod.uid.clone()) else { return };
        let mut all = self.lock();
        let kept = all.entry(uid).or_default();
        let at = Timestamp::now();
        if let Some(same) = kept.iter_mut().find(|kept| kept.event == event) {
            same.at = at;
            same.count += 1;
        } else {
            kept.push_back(Kept { event, at, count: 1 });
        }
        while kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// The events of a pod, oldest first, a line each.
    pub(super) fn lines(&self, pod: &PodUid) -> Vec<String> {
        let all = self.lock();
        let lines = all.get(pod).into_iter().flatten().map(|kept| {
            let times = if kept.count > 1 { format!(" (x{})", kept.count) } else { String::new() };
            let Event { kind, reason, message, .. } = &kept.event;
            format!("{:.0}{times} {} {reason}: {message}", kept.at, kind.as_str())
        });
        lines.collect()
    }

    /// Forgets pods that are gone.
    pub(super) fn retain(&self, known: impl Fn(&PodUid) -> bool) {
        self.lock().retain(|uid, _| known(uid));
    }
}
