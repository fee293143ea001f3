//! The objects, their one revision counter, and what changed of late.

mod disk;
mod feed;
mod key;
mod snapshot;
mod txn;
mod writer;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

pub use disk::DiskError;
pub(crate) use feed::{Change, ChangeKind, Feed, Feeds, Gap};

pub(crate) use key::Key;
pub(crate) use snapshot::Snapshot;
pub(crate) use txn::Txn;

use crate::error::ApiError;
use writer::{Job, Writer};

/// Writes that wait for the writer; more than so many wait for a place.
const QUEUE: usize = 256;

/// The store. A clone is another handle to the same one.
///
/// Every write is a function that sees the latest objects and answers which to change; one thread runs them in order,
/// and those that wait together become one commit. A write is answered after it is on the disk, and only then do
/// readers and watchers see it. Readers take a [`Snapshot`], which never changes and costs nothing.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    jobs: mpsc::Sender<Job>,
    latest: watch::Receiver<Snapshot>,
    feeds: Arc<Feeds>,
}

impl Store {
    /// Opens the store in the file `path`, making it if it is not there, and starts its writer.
    ///
    /// # Errors
    /// If the file cannot be opened or read, or another process has it open.
    pub(crate) fn open(path: &Path) -> Result<Self, DiskError> {
        let (disk, snapshot) = disk::Disk::open(path)?;
        let feeds = Arc::new(Feeds::new(snapshot.revision()));
        let (jobs, queue) = mpsc::channel(QUEUE);
        let (publish, latest) = watch::channel(snapshot);
        Writer { disk, feeds: feeds.clone(), publish }.start(queue)?;
        Ok(Self { jobs, latest, feeds })
    }

    /// All objects as they are now.
    #[must_use]
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.latest.borrow().clone()
    }

    /// Told of every commit.
    pub(crate) fn commits(&self) -> watch::Receiver<Snapshot> {
        self.latest.clone()
    }

    /// What changed of one resource.
    pub(crate) fn feed(&self, resource: &'static str) -> Arc<Feed> {
        self.feeds.of(resource)
    }

    /// Runs `work` on the latest objects and commits what it changed. If it fails, nothing is changed.
    ///
    /// # Errors
    /// As `work` does, or if the disk fails.
    pub(crate) async fn write<T, W>(&self, work: W) -> Result<T, ApiError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Txn) -> Result<T, ApiError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |txn| {
            let outcome = work(txn);
            let keep = outcome.is_ok();
            let tell = move |committed: Result<(), ApiError>| {
                // Whoever asked may have gone away; the write stands.
                let _ = answer.send(committed.and(outcome));
            };
            (keep, Box::new(tell))
        });
        let gone = |()| ApiError::internal("the store's writer has ended");
        self.jobs.send(job).await.map_err(|_| gone(()))?;
        answered.await.map_err(|_| gone(()))?
    }
}

/// Ends when the writer has and its file is closed: it failed, or the last handle to the store is gone.
pub(crate) async fn closed(mut commits: watch::Receiver<Snapshot>) {
    while commits.changed().await.is_ok() {}
}

#[cfg(test)]
mod tests;
