//! Who works on a volume: one at a time, whichever pod it is for.

use std::collections::HashMap;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as Turns, OwnedMutexGuard};
use types::PodUid;

use crate::layout::VolumeId;
use crate::place::Known;
use crate::plan::Target;

/// What is known of a volume's places since berth started.
#[derive(Default, Debug)]
pub(crate) struct Memory {
    pub(crate) staged: Known,
    pub(crate) published: HashMap<Target, Known>,
}

impl Memory {
    fn is_empty(&self) -> bool {
        self.staged == Known::Unknown && self.published.is_empty()
    }
}

/// The right to work on a volume. It goes along to threads and to calls of drivers that may outlive their caller, so that nobody
/// else works on the volume before they end.
pub(crate) type Turn = OwnedMutexGuard<Memory>;

/// Has `call` carried to its end, also when this is dropped, and nobody have the turn before: a driver goes on with what it was
/// asked when its client goes away, and it may be one that cannot do two things with a volume at once ("no more than one call
/// in-flight per volume": the CSI specification, "Concurrency").
pub(crate) async fn carry<T: Send + 'static>(
    turn: Turn,
    call: impl Future<Output = T> + Send + 'static,
) -> (T, Turn) {
    match tokio::spawn(async move { (call.await, turn) }).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        // The program ends.
        Err(_) => std::future::pending().await,
    }
}

/// Says that somebody wants the volume, or waits to say so.
pub(crate) struct Wanting(#[expect(dead_code, reason = "it is counted")] Arc<()>);

/// The volumes that are worked on or known.
#[derive(Clone, Default, Debug)]
pub(crate) struct Owners(Arc<Mutex<HashMap<VolumeId, Owner>>>);

#[derive(Clone, Default, Debug)]
struct Owner {
    turns: Arc<Turns<Memory>>,
    wanting: Arc<()>,
}

impl Owners {
    /// Waits for the right to work on `volume`.
    pub(crate) async fn turn(&self, volume: &VolumeId) -> Turn {
        let turns = self.with(volume, |owner| Arc::clone(&owner.turns));
        turns.lock_owned().await
    }

    /// Says that somebody wants `volume`, until dropped.
    pub(crate) fn want(&self, volume: &VolumeId) -> Wanting {
        Wanting(self.with(volume, |owner| Arc::clone(&owner.wanting)))
    }

    /// Whether somebody wants `volume`.
    pub(crate) fn is_wanted(&self, volume: &VolumeId) -> bool {
        self.with(volume, |owner| Arc::strong_count(&owner.wanting) > 1)
    }

    /// What is known to be published to `pod`, or may be; of volumes that nobody works on now.
    pub(crate) fn published_to(&self, pod: &PodUid) -> Vec<(VolumeId, Target)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        for (volume, owner) in all.iter() {
            let Ok(memory) = owner.turns.try_lock() else { continue };
            let targets = memory.published.keys().filter(|target| target.pod == *pod);
            found.extend(targets.map(|target| (volume.clone(), target.clone())));
        }
        found
    }

    fn with<T>(&self, volume: &VolumeId, what: impl FnOnce(&Owner) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Volumes of which nothing is known and that nobody works on take no memory.
        all.retain(|other, owner| {
            let is_idle = Arc::strong_count(&owner.wanting) == 1 && Arc::strong_count(&owner.turns) == 1;
            other == volume || !is_idle || !owner.turns.try_lock().is_ok_and(|memory| memory.is_empty())
        });
        what(all.entry(volume.clone()).or_default())
    }
}
