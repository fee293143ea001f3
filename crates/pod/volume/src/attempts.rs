//! Tries at the volumes of pods, and when those that failed are made again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use task::doubling::Doubling;
use tokio::sync::{Mutex as Turns, OwnedMutexGuard};
use tokio::time::{Instant, timeout};
use types::PodUid;

use crate::backoff::{self, BackOff, Rest};
use crate::drivers::{FoundVolume, NotShown};
use crate::error::Problem;
use crate::prepared::Mounted;

/// What is tried.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Key {
    /// To find out what a volume of a pod is, or to make one that needs no driver. Done in each round: it never rests.
    Find(PodUid, String),
    /// To show a volume to a pod, with this of which it depends.
    Show(PodUid, String, u64),
    /// What is done once for all pods that have the volume, with this of which it depends.
    Stage(String, u64),
    /// To take the volumes of a pod away, with the drivers as they are.
    TakeDown(PodUid, u64),
}

impl Key {
    fn is_of(&self, uid: &PodUid) -> bool {
        match self {
            Self::Find(pod, _) | Self::Show(pod, ..) | Self::TakeDown(pod, _) => pod == uid,
            Self::Stage(..) => false,
        }
    }

    fn rests(&self) -> Doubling {
        if matches!(self, Self::Find(..)) { backoff::LOOKS } else { backoff::RESTS }
    }
}

/// A volume was not shown.
pub(crate) struct Failed {
    pub(crate) problem: Problem,
    /// It happened to what is done once for all pods.
    pub(crate) of_all: bool,
    pub(crate) again_in: Option<Duration>,
}

/// What failed. Kept in memory alone: after a restart everything is tried.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    failed: Mutex<BackOff<Key>>,
    /// Who tries what has failed for several pods.
    turns: Mutex<HashMap<Key, Arc<Turns<()>>>>,
}

impl Attempts {
    fn lock(&self) -> MutexGuard<'_, BackOff<Key>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether `key` is not to be tried yet.
    pub(crate) fn rest(&self, key: &Key) -> Option<Rest> {
        self.lock().rest(key, Instant::now())
    }

    /// A try of `key` has ended that had begun at `began`. Returns when to try again, if it failed.
    pub(crate) fn ended(&self, key: Key, began: Instant, why: Option<&str>) -> Option<Duration> {
        let mut failed = self.lock();
        let Some(why) = why else {
            failed.succeeded(&key);
            return None;
        };
        let rests = key.rests();
        Some(failed.failed(key, why, [began, Instant::now()], rests))
    }

    /// Forgets the pod.
    pub(crate) fn forget(&self, uid: &PodUid) {
        self.lock().forget(|key| key.is_of(uid));
    }

    /// Waits for the right to try what has failed before. What has not failed needs none.
    async fn turn(&self, key: &Key) -> Option<OwnedMutexGuard<()>> {
        if !self.lock().has_failed(key) {
            return None;
        }
        let turns = {
            let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|other, turns| other == key || Arc::strong_count(turns) > 1);
            Arc::clone(all.entry(key.clone()).or_default())
        };
        Some(turns.lock_owned().await)
    }

    /// Shows what was found of the volume that the pod `uid` calls `name`, unless that failed lately. Waits for its driver
    /// until the `deadline`. May be dropped at any time.
    ///
    /// # Errors
    /// What is wrong, and when to try again.
    pub(crate) async fn show(
        &self,
        uid: &PodUid,
        name: &str,
        found: &dyn FoundVolume,
        deadline: Duration,
    ) -> Result<Mounted, Failed> {
        let attempt = found.attempt();
        let own = Key::Show(uid.clone(), name.to_owned(), attempt.own);
        let shared = attempt.shared.map(|(volume, digest)| Key::Stage(volume, digest));
        let mut began = Instant::now();
        let tried = timeout(deadline, async {
            let _turn = match &shared {
                // Of several pods one tries, and the others do as it has fared.
                Some(shared) => self.turn(shared).await,
                None => None,
            };
            let rests = [Some(&own), shared.as_ref()].into_iter().flatten();
            if let Some(rest) = rests.filter_map(|key| self.rest(key)).max_by_key(|rest| rest.left) {
                return Err(rest);
            }
            began = Instant::now();
            let shown = found.show().await;
            // Before the next one has its turn.
            Ok(shown.map_err(|NotShown { error, of_all }| {
                let key = if of_all { shared.as_ref().unwrap_or(&own) } else { &own };
                self.failed(key.clone(), began, Problem::Driver(error), of_all)
            }))
        });
        match tried.await {
            Ok(Ok(shown)) => {
                let shown = shown?;
                for key in [Some(own), shared].into_iter().flatten() {
                    self.ended(key, began, None);
                }
                Ok(shown)
            }
            Ok(Err(rest)) => {
                let (problem, again_in) = (Problem::Resting(rest.why), Some(rest.left));
                Err(Failed { problem, of_all: false, again_in })
            }
            Err(_) => Err(self.failed(own, began, Problem::DriverLate(deadline), false)),
        }
    }

    fn failed(&self, key: Key, began: Instant, problem: Problem, of_all: bool) -> Failed {
        let again_in = self.ended(key, began, Some(&telemetry::chain(&problem)));
        Failed { problem, of_all, again_in }
    }
}
