//! The task that makes the attempts when they are due.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use task::slots::Slots;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::time::{DelayQueue, delay_queue};
use types::reason::event;
use types::{ContainerKind, Event, PodRef, pod};

use crate::attempt::{Errand, Outcome};
use crate::exec::Exec;
use crate::key::Key;
use crate::shared::Shared;

/// The timer of all probes, and the attempts under way.
pub struct Wheel {
    shared: Arc<Shared>,
    slots: Slots,
    queue: DelayQueue<Key>,
    timers: HashMap<Key, delay_queue::Key>,
    attempts: JoinSet<Option<Made>>,
    underway: HashMap<Id, Errand>,
}

/// An attempt that was made.
struct Made {
    outcome: Outcome,
    took: Duration,
}

impl Wheel {
    pub(crate) fn new(shared: Arc<Shared>, slots: Slots) -> Self {
        Self {
            shared,
            slots,
            queue: DelayQueue::new(),
            timers: HashMap::new(),
            attempts: JoinSet::new(),
            underway: HashMap::new(),
        }
    }

    /// Makes attempts for as long as it is not dropped. `exec` runs commands in containers.
    pub async fn run<E: Exec>(mut self, exec: E) {
        let (shared, exec) = (Arc::clone(&self.shared), Arc::new(exec));
        loop {
            self.arm();
            tokio::select! {
                () = shared.touched.notified() => {}
                Some(due) = self.queue.next() => self.begin(due.into_inner(), &exec),
                Some(ended) = self.attempts.join_next_with_id() => self.end(ended),
            }
        }
    }

    /// Sets the timers of probes that may be due at another time than before.
    fn arm(&mut self) {
        let touched = self.shared.lock().touched();
        for (key, due) in touched {
            match (self.timers.get(&key), due) {
                (Some(timer), Some(due)) => self.queue.reset_at(timer, due),
                (None, Some(due)) => {
                    let timer = self.queue.insert_at(key.clone(), due);
                    self.timers.insert(key, timer);
                }
                (Some(timer), None) => {
                    self.queue.remove(timer);
                    self.timers.remove(&key);
                }
                (None, None) => {}
            }
        }
    }

    fn begin<E: Exec>(&mut self, key: Key, exec: &Arc<E>) {
        self.timers.remove(&key);
        let Some(errand) = self.shared.lock().start(&key, Instant::now()) else { return };
        let (shared, slots, exec) = (Arc::clone(&self.shared), self.slots.clone(), Arc::clone(exec));
        let attempt = errand.clone();
        let task = self.attempts.spawn(async move {
            let _slot = if attempt.is_command() { Some(slots.acquire().await) } else { None };
            let begun = Instant::now();
            let lateness = shared.lock().begun(&attempt, begun)?;
            shared.metrics.lateness.observe(&[attempt.key.kind.as_str()], lateness.as_secs_f64());
            let outcome = attempt.run(&*exec).await;
            Some(Made { outcome, took: begun.elapsed() })
        });
        self.underway.insert(task.id(), errand);
    }

    fn end(&mut self, ended: Result<(Id, Option<Made>), JoinError>) {
        let (id, made) = match ended {
            Ok((id, Some(made))) => (id, made),
            // Nobody waited for it any more.
            Ok((id, None)) => {
                self.underway.remove(&id);
                return;
            }
            Err(error) => {
                tracing::error!(error = %error, "An attempt of a probe panicked");
                let outcome = Outcome::Void("the attempt panicked".to_owned());
                (error.id(), Made { outcome, took: Duration::ZERO })
            }
        };
        if let Some(errand) = self.underway.remove(&id) {
            self.take(&errand, &made);
        }
    }

    /// Takes what an attempt found, and tells of it.
    fn take(&self, errand: &Errand, made: &Made) {
        let Errand { key, run, pod, .. } = errand;
        let Made { outcome, took } = made;
        let (pod_ref, container, kind) = (PodRef::of(pod), &*key.container, key.kind);
        {
            // Locked to the end, so that no series is made anew that was just removed.
            let mut table = self.shared.lock();
            if !table.finish(key, *run, outcome, Instant::now()) {
                return;
            }
            self.shared.metrics.count(&pod_ref, container, kind, outcome.answer(), *took);
        }
        let (reason, message) = match outcome {
            Outcome::Pass => return,
            Outcome::Warning(text) => {
                (event::PROBE_WARNING, format!("{} probe warning: {text}", kind.as_str()))
            }
            Outcome::Fail(_) | Outcome::Void(_) => {
                (event::UNHEALTHY, outcome.failure(kind).unwrap_or_default())
            }
        };
        let event = Event::warning(&pod_ref, reason, message);
        let of = pod::container(pod, container).map_or(ContainerKind::Regular, |(of, _)| of);
        self.shared.recorder.record(event.about(of, container));
    }
}

#[cfg(test)]
mod tests;
