//! Volumes that drivers make: what a pod's start waits for before it has a slot, and its end before it is cleaned up.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use task::cell::PodCell;
use task::events::Recorder;
use types::{Event, Pod, Step};
use volume::{FoundVolumes, Onlooker};

use crate::executor::{Executor, SyncError};

/// Writes into a pod's cell for what its volumes wait.
pub(crate) struct Watching<'a> {
    cell: &'a PodCell,
    step: Step,
    recorder: &'a Recorder,
    waits: Mutex<BTreeMap<String, String>>,
}

impl<'a> Watching<'a> {
    /// Nothing is waited for yet. What is, is part of `step`.
    pub(crate) fn new(cell: &'a PodCell, step: Step, recorder: &'a Recorder) -> Self {
        Self { cell, step, recorder, waits: Mutex::default() }
    }
}

impl Onlooker for Watching<'_> {
    fn waits_for(&self, volume: &str, what: Option<String>) {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        match what {
            Some(what) => drop(waits.insert(volume.to_owned(), what)),
            None => drop(waits.remove(volume)),
        }
        if !waits.is_empty() {
            let all: Vec<&str> = waits.values().map(String::as_str).collect();
            self.cell.at(self.step, None, all.join("; "));
        }
    }

    fn warn(&self, reason: &'static str, message: String) {
        self.recorder.record(Event::warning(&self.cell.pod, reason, message));
    }
}

impl Executor {
    /// Finds the volumes of `pod` that drivers make, and waits for what has to be there before.
    pub(crate) async fn find_volumes(
        &self,
        pod: &Arc<Pod>,
        cell: &PodCell,
    ) -> Result<FoundVolumes, SyncError> {
        let watching = Watching::new(cell, Step::Volumes, &self.needs.recorder);
        let found = self.needs.volumes.find(pod, &watching).await;
        Ok(found.inspect_err(|error| self.tell_mount_failures(&error.failures, cell))?)
    }
}

#[cfg(test)]
mod tests {
    use task::cell::Phase;
    use types::PodRef;

    use super::*;

    #[tokio::test]
    async fn all_that_is_waited_for_is_told() {
        let cell = PodCell::new(PodRef::of(&Pod::default()), Phase::Running);
        let (recorder, mut events) = Recorder::channel(1);
        let watching = Watching::new(&cell, Step::Volumes, &recorder);
        let waits = || cell.progress.borrow().waiting_for.clone();
        watching.waits_for("a", Some("one".to_owned()));
        watching.waits_for("b", Some("two".to_owned()));
        assert_eq!(waits(), "one; two");
        watching.waits_for("a", Some("three".to_owned()));
        assert_eq!(waits(), "three; two");
        watching.waits_for("b", None);
        assert_eq!(waits(), "three");
        watching.warn("Odd", "so it is".to_owned());
        assert_eq!(events.recv().await.unwrap().reason, "Odd");
    }
}
