//! What somebody is about to end. Whoever does so looks at the pod when that is done, so that no event, hint or list that
//! tells of it has to be looked up before.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use types::ContainerId;

/// Containers and sandboxes for which a call that ends them is under way. Clones share the set.
#[derive(Clone, Default)]
pub(crate) struct Stopping(Arc<Mutex<HashSet<ContainerId>>>);

impl Stopping {
    pub(crate) fn begin(&self, id: ContainerId) -> StoppingGuard {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        StoppingGuard { all: self.clone(), id }
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

/// While it lives, the end of one container or sandbox is no news.
#[must_use]
pub struct StoppingGuard {
    all: Stopping,
    id: ContainerId,
}

impl Drop for StoppingGuard {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
