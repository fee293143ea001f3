//! What is known of volumes that may grow: by which pods the node has them, and when they are looked at.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use csi::VolumeId;
use tokio::sync::Mutex as Turn;
use tokio::time::Instant;
use types::PodUid;
use volume::backoff;
use volume::growth::OnNode;

/// A volume of a claim.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::agent::drivers) enum Id {
    /// Of a CSI driver.
    Csi(VolumeId),
    /// One that berth mounts itself, by the name of its PersistentVolume.
    Mounted(String),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Csi(id) => write!(f, "{id}"),
            Self::Mounted(name) => f.write_str(name),
        }
    }
}

/// What is known of volumes that may grow.
pub(super) struct Sizes {
    /// How often the volumes of a pod are looked at, at most.
    every: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pods: HashMap<PodUid, OfPod>,
    volumes: HashMap<Id, Arc<Turn<Here>>>,
}

#[derive(Default)]
struct OfPod {
    looked: Option<Instant>,
    volumes: HashSet<Id>,
    /// Those that have to grow before a container gets them, by their names in the pod.
    owed: HashSet<String>,
}

/// A volume, for as long as the node has it.
#[derive(Default)]
pub(super) struct Here {
    pub(super) on_node: OnNode,
    /// It can grow only while nobody uses it.
    pub(super) in_use: bool,
    /// When it failed last, and how long it then rests.
    pub(super) failed: Option<(Instant, Duration)>,
}

impl Here {
    /// Whether it is not to be tried now.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.in_use || self.failed.is_some_and(|(at, delay)| now < at + delay)
    }

    /// It failed. Returns for how long it rests now.
    pub(super) fn fails(&mut self, now: Instant) -> Duration {
        let delay = backoff::RESTS.next(self.failed.map(|(_, delay)| delay));
        self.failed = Some((now, delay));
        delay
    }
}

impl Sizes {
    /// Of none. A pod's volumes are looked at once in `every`.
    pub(super) fn new(every: Duration) -> Self {
        Self { every, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is time to look at the pod's volumes. If so, it is done now.
    pub(super) fn is_due(&self, pod: &PodUid, now: Instant) -> bool {
        let mut state = self.lock();
        let looked = &mut state.pods.entry(pod.clone()).or_default().looked;
        let due = looked.is_none_or(|looked| now >= looked + self.every);
        if due {
            *looked = Some(now);
        }
        due
    }

    /// The volume, which the pod has.
    pub(super) fn here(&self, pod: &PodUid, volume: &Id) -> Arc<Turn<Here>> {
        let mut state = self.lock();
        state.pods.entry(pod.clone()).or_default().volumes.insert(volume.clone());
        Arc::clone(state.volumes.entry(volume.clone()).or_default())
    }

    /// Whether the volume that the pod calls `name` has to grow before a container gets it.
    pub(super) fn is_owed(&self, pod: &PodUid, name: &str) -> bool {
        self.lock().pods.get(pod).is_some_and(|of| of.owed.contains(name))
    }

    /// Says whether it has to.
    pub(super) fn owe(&self, pod: &PodUid, name: &str, owed: bool) {
        let mut state = self.lock();
        let all = &mut state.pods.entry(pod.clone()).or_default().owed;
        let _ = if owed { all.insert(name.to_owned()) } else { all.remove(name) };
    }

    /// Whether the pod has volumes that are looked at.
    pub(super) fn has(&self, pod: &PodUid) -> bool {
        self.lock().pods.contains_key(pod)
    }

    /// Forgets the pod, and the volumes that no other pod has.
    pub(super) fn forget(&self, pod: &PodUid) {
        let mut state = self.lock();
        let Some(gone) = state.pods.remove(pod) else { return };
        for volume in gone.volumes {
            if !state.pods.values().any(|of| of.volumes.contains(&volume)) {
                state.volumes.remove(&volume);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> Sizes {
        Sizes::new(Duration::from_secs(30))
    }

    #[tokio::test(start_paused = true)]
    async fn when_a_pods_volumes_are_looked_at() {
        let (sizes, pod) = (sizes(), PodUid::from("u"));
        assert!(sizes.is_due(&pod, Instant::now()));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(!sizes.is_due(&pod, Instant::now()) && sizes.is_due(&"other".into(), Instant::now()));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(sizes.is_due(&pod, Instant::now()));
    }

    #[test]
    fn what_is_known_of_a_volume_goes_with_the_last_pod_that_has_it() {
        let sizes = sizes();
        let volume = Id::Csi(VolumeId { driver: "d".into(), handle: "v".into() });
        let (one, other) = (PodUid::from("one"), PodUid::from("other"));
        let here = sizes.here(&one, &volume);
        assert!(Arc::ptr_eq(&here, &sizes.here(&other, &volume)));
        sizes.owe(&one, "data", true);
        assert!(sizes.is_owed(&one, "data") && !sizes.is_owed(&other, "data"));
        assert!(sizes.has(&one));
        sizes.forget(&one);
        assert!(!sizes.is_owed(&one, "data") && !sizes.has(&one));
        assert!(Arc::ptr_eq(&here, &sizes.here(&other, &volume)));
        sizes.forget(&other);
        assert!(!Arc::ptr_eq(&here, &sizes.here(&other, &volume)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_volume_that_failed_rests_longer_each_time() {
        let mut here = Here::default();
        let mut waited = Vec::new();
        for _ in 0..10 {
            let now = Instant::now();
            assert!(!here.rests(now));
            here.fails(now);
            let delay = here.failed.unwrap().1;
            assert!(here.rests(now + delay - Duration::from_millis(1)));
            tokio::time::advance(delay).await;
            waited.push(delay.as_millis());
        }
        assert_eq!(waited, [500, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 122_000, 122_000]);
        here.in_use = true;
        assert!(here.rests(Instant::now() + Duration::from_secs(1000)));
    }
}
