//! The one thread that writes.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tracing::error;

use super::disk::Disk;
use super::{DiskError, Feeds, Snapshot, Txn};
use crate::error::ApiError;

/// So many writes at most become one commit.
const BATCH: usize = 64;

/// Tells whoever asked how the commit went.
type Tell = Box<dyn FnOnce(Result<(), ApiError>) + Send>;
/// A write: whether what it changed is to be kept, and whom to tell.
pub(super) type Job = Box<dyn FnOnce(&mut Txn) -> (bool, Tell) + Send>;

pub(super) struct Writer {
    pub(super) disk: Disk,
    pub(super) feeds: Arc<Feeds>,
    /// Dropped last: that its receivers learn of it means that the file is closed.
    pub(super) publish: watch::Sender<Snapshot>,
}

impl Writer {
    /// A commit waits for the disk, so the writer has a thread of its own. It ends with the last handle to the store.
    pub(super) fn start(self, mut queue: mpsc::Receiver<Job>) -> Result<(), DiskError> {
        let run = move || {
            while let Some(first) = queue.blocking_recv() {
                let mut batch = vec![first];
                while batch.len() < BATCH
                    && let Ok(job) = queue.try_recv()
                {
                    batch.push(job);
                }
                self.commit(batch);
            }
        };
        std::thread::Builder::new().name("store".to_owned()).spawn(run).map(drop).map_err(DiskError::Thread)
    }

    fn commit(&self, batch: Vec<Job>) {
        let mut snapshot = self.publish.borrow().clone();
        let mut changes = Vec::new();
        let mut waiting = Vec::new();
        for job in batch {
            let mut txn = Txn::new(snapshot.clone());
            let (keep, tell) = job(&mut txn);
            if keep {
                snapshot = txn.snapshot;
                changes.append(&mut txn.changes);
            }
            waiting.push(tell);
        }
        let committed =
            if changes.is_empty() { Ok(()) } else { self.disk.commit(&changes, snapshot.revision) };
        let outcome = match committed {
            Ok(()) => {
                // Changes are in the feeds before the snapshot that has them is seen: who lists and then watches from
                // the list's revision misses nothing, and a bookmark never runs ahead of a change.
                for change in changes {
                    self.feeds.push(change);
                }
                self.publish.send_replace(snapshot);
                Ok(())
            }
            Err(failure) => {
                let error: &dyn std::error::Error = &failure;
                error!(error, "the store could not be written");
                Err(ApiError::internal("the store could not be written"))
            }
        };
        for tell in waiting {
            tell(outcome.clone());
        }
    }
}
