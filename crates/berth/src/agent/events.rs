//! Where events go: to the log, to a short memory per pod for `berth why`, and on to the API server if there is one.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use task::events::Recorder;
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

    /// Takes events until their senders are gone, and passes each on to `further`.
    pub(super) async fn run(self, mut events: mpsc::Receiver<Event>, further: Option<Recorder>) {
        while let Some(event) = events.recv().await {
            let told = self.keep(&event);
            if let Some(further) = &further {
                further.record(event.clone());
            }
            let Event { pod, storage, field_path, kind, reason, message } = event;
            let reason = &*reason;
            if let Some(of) = storage {
                let kind = of.kind();
                tracing::debug!(
                    kind,
                    namespace = of.namespace,
                    name = of.name,
                    reason,
                    message,
                    "Event about storage"
                );
                continue;
            }
            let Some(pod) = pod else {
                tracing::info!(reason, message, "Event about the node");
                continue;
            };
            if kind == EventKind::Warning && !told {
                tracing::info!(pod = %pod, field = field_path, reason, message, "Warning event");
            } else {
                tracing::debug!(pod = %pod, field = field_path, reason, message, "Event");
            }
        }
    }

    /// Keeps `event`, and says whether the same has been told before.
    fn keep(&self, event: &Event) -> bool {
        let Some(uid) = event.pod.as_ref().map(|pod| pod.uid.clone()) else { return false };
        let mut all = self.lock();
        let kept = all.entry(uid).or_default();
        let at = Timestamp::now();
        if let Some(same) = kept.iter_mut().find(|kept| kept.event == *event) {
            same.at = at;
            same.count += 1;
            return true;
        }
        kept.push_back(Kept { event: event.clone(), at, count: 1 });
        if kept.len() > KEPT {
            kept.pop_front();
        }
        false
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
