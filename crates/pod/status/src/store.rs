//! The latest status of every pod.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::PodStatus;
use tokio::sync::watch;
use tokio::time::Instant;
use types::{Pod, PodRef, PodUid, labels, pod};

use crate::transition::{self, TransitionError};

/// The latest status of every pod, for the local API and for whoever writes them to the API server. A clone is a
/// handle of the same store. The lock is only ever held for a look-up.
#[derive(Clone, Debug)]
pub struct StatusStore {
    statuses: Arc<Mutex<BTreeMap<PodUid, Latest>>>,
    version: Arc<watch::Sender<u64>>,
}

/// The latest status of one pod.
#[derive(Clone, Debug)]
pub struct Latest {
    /// Whose it is.
    pub pod: PodRef,
    /// For a static pod the hash of its manifest, by which its mirror pod is known.
    pub hash: Option<Arc<str>>,
    /// The status.
    pub status: Arc<PodStatus>,
    /// Whether nothing of the pod is left that would have to be stopped or taken down: its object may go.
    pub over: bool,
    /// Since when it is the latest.
    pub since: Instant,
}

impl Default for StatusStore {
    fn default() -> Self {
        Self { statuses: Arc::default(), version: Arc::new(watch::Sender::new(0)) }
    }
}

impl StatusStore {
    /// Makes `status` the latest of `pod`, of which nothing is left on the node if it is `over`, and tells whether that
    /// was news.
    ///
    /// # Errors
    /// If a container that ended for good were to come back to life: the latest status stays.
    pub fn set(&self, pod: &Pod, status: PodStatus, over: bool) -> Result<bool, TransitionError> {
        let who = PodRef::of(pod);
        let mut statuses = self.lock();
        if let Some(latest) = statuses.get(&who.uid) {
            if *latest.status == status && latest.over == over {
                return Ok(false);
            }
            transition::check(pod, &latest.status, &status)?;
        }
        let hash = pod::annotation(pod, labels::CONFIG_HASH).filter(|_| pod::is_static(pod)).map(Arc::from);
        let uid = who.uid.clone();
        let status = Arc::new(status);
        statuses.insert(uid, Latest { pod: who, hash, status, over, since: Instant::now() });
        drop(statuses);
        self.version.send_modify(|version| *version += 1);
        Ok(true)
    }

    /// The latest status of the pod `uid`.
    #[must_use]
    pub fn get(&self, uid: &PodUid) -> Option<Arc<PodStatus>> {
        self.lock().get(uid).map(|latest| Arc::clone(&latest.status))
    }

    /// Forgets the pod `uid`. Due when its worker is done with it, and before a pod of the same UID begins again.
    pub fn remove(&self, uid: &PodUid) {
        if self.lock().remove(uid).is_some() {
            self.version.send_modify(|version| *version += 1);
        }
    }

    /// All statuses as they are now, by UID.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<PodUid, Latest> {
        self.lock().clone()
    }

    /// A number that changes with every status that is set or removed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PodUid, Latest>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_news_changes_the_version() {
        let store = StatusStore::default();
        let pod: Pod = serde_json::from_value(json!({"metadata": {"uid": "u"}})).unwrap();
        let status = |phase: &str| PodStatus { phase: Some(phase.to_owned()), ..PodStatus::default() };
        let changes = store.changes();
        assert!(store.set(&pod, status("Pending"), false).unwrap());
        assert!(!store.set(&pod, status("Pending"), false).unwrap());
        assert!(store.set(&pod, status("Running"), false).unwrap());
        assert_eq!(*changes.borrow(), 2);
        assert!(store.set(&pod, status("Running"), true).unwrap());
        assert_eq!(store.get(&"u".into()).unwrap().phase.as_deref(), Some("Running"));
        store.remove(&"u".into());
        store.remove(&"u".into());
        assert_eq!(*changes.borrow(), 4);
        assert!(store.snapshot().is_empty());
    }
}
