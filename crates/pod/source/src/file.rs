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
use crate::manifest::Rules;
use crate::problem::{Finding, ManifestProblem, Reason};
use crate::reading::Reading;
use crate::target::Target;

/// Runs until nobody listens.
pub(crate) async fn run(
    path: PathBuf,
    node_name: String,
    rules: Rules,
    period: Duration,
    readings: mpsc::Sender<Reading>,
) {
    let new_folder = || Folder::new(path.clone(), node_name.clone(), rules.clone());
    let mut folder = new_folder();
    let mut watcher = Watcher::default();
    let mut ticks = interval(period.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let mut dirty = Dirty::All;
    loop {
        // Files may lie on a file system that hangs: that holds up this source, and nothing else.
        let place = path.clone();
        let scan = tokio::task::spawn_blocking(move || {
            // Watched before it is read, so that no change falls in between.
            let (problem, moved) = watcher.follow(&place);
            let mut reading = folder.scan(if moved { &Dirty::All } else { &dirty });
            reading.problems.extend(problem);
            (folder, watcher, reading)
        });
        let reading = match scan.await {
            Ok((same_folder, same_watcher, reading)) => {
                (folder, watcher) = (same_folder, same_watcher);
                reading
            }
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "reading the manifests broke off; all are read again");
                folder = new_folder();
                watcher = Watcher::default();
                dirty = Dirty::All;
                ticks.tick().await;
                continue;
            }
        };
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

#[derive(Default)]
struct Watcher {
    target: Option<Target>,
    watch: Option<DirWatch>,
}

impl Watcher {
    /// Makes sure that what has to be watched now is. Whether it is another directory than before.
    fn follow(&mut self, path: &std::path::Path) -> (Option<ManifestProblem>, bool) {
        let mut target = Target::of(path);
        if self.watch.is_some() && self.target.as_ref() == Some(&target) {
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
        self.target = Some(target);
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
        let (Some(watch), Some(target)) = (&mut self.watch, &self.target) else {
            return std::future::pending().await;
        };
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
                Some(Ok(Change { name: Some(name), .. })) if target.concerns(&name) => {
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
