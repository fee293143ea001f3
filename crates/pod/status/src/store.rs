//! The latest status of every pod.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::api::core::v1::PodStatus;
use tokio::sync::watch;
use types::{Pod, PodUid};

use crate::transition::{self, TransitionError};

/// The latest status of every pod, for the local API and for whoever writes them to the API server. A clone is a
/// handle of the same store. The lock is only ever held for a look-up.
#[derive(Clone, Debug)]
pub struct StatusStore {
    statuses: Arc<Mutex<BTreeMap<PodUid, Arc<PodStatus>>>>,
    version: Arc<watch::Sender<u64>>,
}

impl Default for StatusStore {
    fn default() -> Self {
        Self { statuses: Arc::default(), version: Arc::new(watch::Sender::new(0)) }
    }
}

impl StatusStore {
    /// Makes `status` the latest of `pod`, and tells whether that was news.
    ///
    /// # Errors
    /// If a container that ended for good were to come back to life: the latest status stays.
    pub fn set(&self, pod: &Pod, status: PodStatus) -> Result<bool, TransitionError> {
        let uid = PodUid::from(pod.metadata.uid.as_deref().unwrap_or_default());
        let mut statuses = self.lock();
        if let Some(latest) = statuses.get(&uid) {
            if **latest == status {
                return Ok(false);
            }
            transition::check(pod, latest, &status)?;
        }
        statuses.insert(uid, Arc::new(status));
        drop(statuses);
        self.version.send_modify(|version| *version += 1);
        Ok(true)
    }

    /// The latest status of the pod `uid`.
    #[must_use]
    pub fn get(&self, uid: &PodUid) -> Option<Arc<PodStatus>> {
        self.lock().get(uid).cloned()
    }

    /// Forgets the pod `uid`. Due when its worker is done with it, and before a pod of the same UID begins again.
    pub fn remove(&self, uid: &PodUid) {
        if self.lock().remove(uid).is_some() {
            self.version.send_modify(|version| *version += 1);
        }
    }

    /// All statuses as they are now, by UID.
    #[must_use]
    pub fn snapshot(&self) -> BTreeMap<PodUid, Arc<PodStatus>> {
        self.lock().clone()
    }

    /// A number that changes with every status that is set or removed.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PodUid, Arc<PodStatus>>> {
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
        assert!(store.set(&pod, status("Pending")).unwrap());
        assert!(!store.set(&pod, status("Pending")).unwrap());
        assert!(store.set(&pod, status("Running")).unwrap());
        assert_eq!(*changes.borrow(), 2);
        assert_eq!(store.get(&"u".into()).unwrap().phase.as_deref(), Some("Running"));
        store.remove(&"u".into());
        store.remove(&"u".into());
        assert_eq!(*changes.borrow(), 3);
        assert!(store.snapshot().is_empty());
    }
}
