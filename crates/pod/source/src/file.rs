//! The file source: reads the manifests when something changed, and every `fileCheckFrequency`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use linux::watch::{Change, ChangeKind, DirWatch};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::folder::{Dirty, Folder};
use crate::problem::{Finding, ManifestProblem, Reason};
use crate::sources::Reading;
use crate::target::Target;

/// Runs until nobody listens.
pub(crate) async fn run(path: PathBuf, node_name: String, period: Duration, readings: mpsc::Sender<Reading>) {
    let mut folder = Folder::new(path.clone(), node_name.clone());
    let mut watcher = Watcher { target: Target::of(&path), watch: None };
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let mut dirty = Dirty::All;
    loop {
        // Watched before it is read, so that no change falls in between.
        let (watch_problem, moved) = watcher.follow(&path);
        if moved {
            dirty = Dirty::All;
        }
        // Files may lie on a file system that hangs: that holds up this source, and nothing else.
        let scan = tokio::task::spawn_blocking(move || {
            let reading = folder.scan(&dirty);
            (folder, reading)
        });
        let mut reading = match scan.await {
            Ok((same, reading)) => {
                folder = same;
                reading
            }
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "reading the manifests broke off; all are read again");
                folder = Folder::new(path.clone(), node_name.clone());
                dirty = Dirty::All;
                ticks.tick().await;
                continue;
            }
        };
        reading.problems.extend(watch_problem);
        if readings.send(reading).await.is_err() {
            return;
        }
        dirty = tokio::select! {
            changed = watcher.changed() => changed,
            _ = ticks.tick() => Dirty::Names(BTreeSet::new()),
            () = readings.closed() => return,
        };
    }
}

struct Watcher {
    target: Target,
    watch: Option<DirWatch>,
}

impl Watcher {
    /// Makes sure that what has to be watched now is. Whether it is another directory than before.
    fn follow(&mut self, path: &std::path::Path) -> (Option<ManifestProblem>, bool) {
        let mut target = Target::of(path);
        if target == self.target && self.watch.is_some() {
            return (None, false);
        }
        let watch = loop {
            let watch = DirWatch::new(&target.dir);
            // What appeared before the watch began may be what ought to be watched.
            let now = Target::of(path);
            if now == target {
                break watch;
            }
            target = now;
        };
        self.target = target;
        match watch {
            Ok(watch) => {
                self.watch = Some(watch);
                (None, true)
            }
            Err(error) => {
                self.watch = None;
                let message = format!(
                    "changes cannot be watched and are seen at the next check only: {}",
                    telemetry::chain(&error)
                );
                let problem = Finding::warning(Reason::WatchFailed, message)
                    .of(&path.to_string_lossy(), Timestamp::now());
                (Some(problem), true)
            }
        }
    }

    /// Waits for a change that matters, and takes those that come with it.
    async fn changed(&mut self) -> Dirty {
        let Some(watch) = &mut self.watch else { return std::future::pending().await };
        let mut names = BTreeSet::new();
        loop {
            let next = if names.is_empty() {
                watch.next().await
            } else {
                match watch.next().now_or_never() {
                    Some(next) => next,
                    None => return Dirty::Names(names),
                }
            };
            match next {
                Some(Ok(Change { name: Some(name), .. })) if self.target.concerns(&name) => {
                    names.insert(name);
                }
                Some(Ok(Change { name: Some(_), .. })) => {}
                Some(Ok(Change {
                    name: None, kind: ChangeKind::Rescan | ChangeKind::Attributes, ..
                })) => {
                    return Dirty::All;
                }
                Some(Ok(_) | Err(_)) | None => {
                    self.watch = None;
                    return Dirty::All;
                }
            }
        }
    }
}
