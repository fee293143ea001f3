//! Looks that have not come to an end, for `berth why`: the state of these pods is not known as it is now.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use types::PodUid;

/// A pod whose state has been asked for and is not known yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingLook {
    /// Since when.
    pub since: Timestamp,
    /// Why the latest look failed, if it did.
    pub error: Option<String>,
}

/// The pending looks, by pod.
#[derive(Default)]
pub(crate) struct Pending(Mutex<HashMap<PodUid, Entry>>);

struct Entry {
    look: PendingLook,
    under_way: usize,
}

/// A look that is under way. Dropped, it is given up.
pub(crate) struct UnderWay<'a> {
    pending: &'a Pending,
    pod: PodUid,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, HashMap<PodUid, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A look at `pod` begins.
    pub(crate) fn begin(&self, pod: &PodUid) -> UnderWay<'_> {
        let mut all = self.lock();
        let entry = all.entry(pod.clone()).or_insert_with(|| Entry {
            look: PendingLook { since: Timestamp::now(), error: None },
            under_way: 0,
        });
        entry.under_way += 1;
        UnderWay { pending: self, pod: pod.clone() }
    }

    pub(crate) fn of(&self, pod: &PodUid) -> Option<PendingLook> {
        self.lock().get(pod).map(|entry| entry.look.clone())
    }
}

impl UnderWay<'_> {
    /// The look has succeeded, or failed.
    pub(crate) fn ended(self, error: Option<String>) {
        if let Some(entry) = self.pending.lock().get_mut(&self.pod) {
            if error.is_none() {
                entry.look.since = Timestamp::now();
            }
            entry.look.error = error;
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut all = self.pending.lock();
        let Some(entry) = all.get_mut(&self.pod) else { return };
        entry.under_way = entry.under_way.saturating_sub(1);
        if entry.under_way == 0 && entry.look.error.is_none() {
            all.remove(&self.pod);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_pending_until_one_succeeds() {
        let (pending, pod) = (Pending::default(), PodUid::from("u"));
        let look = pending.begin(&pod);
        let since = pending.of(&pod).unwrap().since;
        look.ended(Some("broken pipe".to_owned()));
        let failed = PendingLook { since, error: Some("broken pipe".to_owned()) };
        assert_eq!(pending.of(&pod), Some(failed.clone()));
        let given_up = pending.begin(&pod);
        drop(given_up);
        assert_eq!(pending.of(&pod), Some(failed));
        pending.begin(&pod).ended(None);
        assert_eq!(pending.of(&pod), None);
        drop(pending.begin(&pod));
        assert_eq!(pending.of(&pod), None);
    }
}
