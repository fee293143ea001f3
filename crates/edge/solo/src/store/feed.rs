//! What changed of late, one bounded history per resource.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde_json::Value;
use tokio::sync::watch;

use super::Key;

/// So many changes of one resource are remembered. Whoever is further behind has to list again.
pub(super) const REMEMBERED: usize = 512;

/// What happened to an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChangeKind {
    Added,
    Modified,
    Deleted,
}

/// One change of one object.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) kind: ChangeKind,
    pub(crate) resource: &'static str,
    pub(crate) key: Key,
    /// The object after the change; of a deleted one its last state, with the revision of the deletion.
    pub(crate) object: Arc<Value>,
    /// The object before.
    pub(crate) previous: Option<Arc<Value>>,
}

/// The changes after the asked-for revision are not all remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Gap {
    /// The oldest revision from which one could go on.
    pub(crate) oldest: u64,
}

/// The latest changes of one resource. Watchers wait for `grown` and read on from where they are: nothing is kept per
/// watcher, and one that is slow finds a [`Gap`].
#[derive(Debug)]
pub(crate) struct Feed {
    changes: RwLock<History>,
    grown: watch::Sender<u64>,
}

#[derive(Debug)]
struct History {
    /// Changes up to this revision are forgotten.
    forgotten: u64,
    changes: VecDeque<Arc<Change>>,
}

impl Feed {
    fn new(revision: u64) -> Self {
        let history = History { forgotten: revision, changes: VecDeque::new() };
        Self { changes: RwLock::new(history), grown: watch::Sender::new(revision) }
    }

    /// The changes after `revision`, oldest first.
    pub(crate) fn after(&self, revision: u64) -> Result<Vec<Arc<Change>>, Gap> {
        let history = self.changes.read().unwrap_or_else(PoisonError::into_inner);
        if revision < history.forgotten {
            return Err(Gap { oldest: history.forgotten });
        }
        let first = history.changes.partition_point(|change| change.revision <= revision);
        Ok(history.changes.range(first..).cloned().collect())
    }

    /// Told whenever there are new changes.
    pub(crate) fn grown(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    fn push(&self, change: Change) {
        let revision = change.revision;
        {
            let mut history = self.changes.write().unwrap_or_else(PoisonError::into_inner);
            if history.changes.len() == REMEMBERED
                && let Some(oldest) = history.changes.pop_front()
            {
                history.forgotten = oldest.revision;
            }
            history.changes.push_back(Arc::new(change));
        }
        self.grown.send_replace(revision);
    }
}

/// The feeds of all resources.
#[derive(Debug)]
pub(crate) struct Feeds {
    /// The revision at which the store was opened; nothing older is remembered.
    opened: u64,
    feeds: Mutex<HashMap<&'static str, Arc<Feed>>>,
}

impl Feeds {
    pub(super) fn new(opened: u64) -> Self {
        Self { opened, feeds: Mutex::default() }
    }

    /// The feed of a resource. One that nobody asked for and nothing changed in remembers all there is: nothing.
    pub(crate) fn of(&self, resource: &'static str) -> Arc<Feed> {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        feeds.entry(resource).or_insert_with(|| Arc::new(Feed::new(self.opened))).clone()
    }

    pub(super) fn push(&self, change: Change) {
        self.of(change.resource).push(change);
    }
}
