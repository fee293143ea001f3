//! The directories that are watched.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use linux::watch::{ChangeKind, DirWatch};

/// Watches of directories.
#[derive(Debug, Default)]
pub(crate) struct Dirs(BTreeMap<PathBuf, DirWatch>);

impl Dirs {
    /// Watches `wanted`, and no others any more. Returns whether something is watched now that was not: it has to be
    /// read again, since changes before that were not seen. A directory that cannot be watched is read with the timer.
    pub(crate) fn follow(&mut self, wanted: &[PathBuf]) -> bool {
        self.0.retain(|path, _| wanted.contains(path));
        let mut added = false;
        for path in wanted.iter().filter(|path| !self.0.contains_key(*path)).cloned().collect::<Vec<_>>() {
            match DirWatch::new(&path) {
                Ok(watch) => {
                    self.0.insert(path, watch);
                    added = true;
                }
                Err(error) => {
                    let error = telemetry::chain(&error);
                    tracing::warn!(error, "Plugins are found late: their directory cannot be watched");
                }
            }
        }
        added
    }

    /// Waits until something appears in one of them or vanishes. Losing it to a cancellation is no loss: all are read
    /// anyway.
    pub(crate) async fn changed(&mut self) {
        let mut watching: FuturesUnordered<_> = self.0.values_mut().map(news).collect();
        match watching.next().await {
            // An ended watch is renewed when its directory is read again.
            Some(Some(ended)) => {
                drop(watching);
                self.0.remove(&ended);
            }
            Some(None) => {}
            None => std::future::pending().await,
        }
    }
}

/// Waits for news of one directory. `Some`: the watch has ended.
async fn news(watch: &mut DirWatch) -> Option<PathBuf> {
    loop {
        match watch.next().await {
            Some(Ok(change)) if matches!(change.kind, ChangeKind::Attributes | ChangeKind::Written) => {}
            Some(Ok(change)) if change.kind != ChangeKind::Gone => return None,
            _ => return Some(watch.path().to_owned()),
        }
    }
}
