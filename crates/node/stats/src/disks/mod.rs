//! How full file systems are, and how much room directories take. Each look can hang, or last: it is made on a thread
//! that can be abandoned, and one path is looked at by one thread at most. What comes late is there for the next scrape.
//! Of directories that their file system counts (KEP-1029), all are asked for at once, and none is looked through.

mod plan;
mod slots;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use linux::diskuse::{self, DiskUse};
use linux::projectquota::{self, ProjectId};
use linux::statfs::{self, FsUsage};
use task::blocking::{Abandoned, NODE, with_deadline};

use crate::Metrics;
use crate::moment::Moment;
use plan::Plan;
pub(crate) use plan::{Ask, How, full, on_device, volume};
use slots::{Busy, Slots};
use tokio::time::{Instant, timeout};

/// What the threads are called that look through directories.
const WALK: &str = "disk-use";
/// Threads that look through directories at once.
const WALKERS: usize = 4;

/// What was found at one path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) moment: Moment,
    /// How full its file system is.
    pub(crate) fs: FsUsage,
    /// What lies below the path, if that was asked.
    pub(crate) below: Option<DiskUse>,
}

/// What was found, by path.
pub(crate) type Finds = HashMap<PathBuf, Found>;

/// Looks at disks, and keeps what it found for as long as somebody asks for it. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Disks {
    slots: Arc<Mutex<Slots>>,
    metrics: Metrics,
}

impl Disks {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { slots: Arc::default(), metrics }
    }

    /// What is at the paths of `asks`, looked for anew where what is known is too old, and for no longer than
    /// `patience`. A path that does not answer is left out; a directory that takes longer to look through is shown as it
    /// was when it was last looked through.
    pub(crate) async fn measure(&self, asks: Vec<Ask>, patience: Duration) -> Finds {
        let begun = Moment::now();
        let due = Slots::take_due(&self.slots, &asks, begun);
        self.look_at(plan::group(due), patience).await;
        // Somebody else may be looking for the same.
        let _ = timeout(patience, self.others(&asks, begun, patience)).await;
        lock(&self.slots).answer(&asks, begun)
    }

    async fn look_at(&self, plan: Plan, patience: Duration) {
        let Plan { quick, each, counted, walks } = plan;
        let (walkers, walks) = (WALKERS.min(walks.len()), Arc::new(Mutex::new(VecDeque::from(walks))));
        let walkers = (0..walkers).map(|_| {
            let (walks, metrics) = (Arc::clone(&walks), self.metrics.clone());
            let walk = move || {
                let next = || lock(&walks).pop_front();
                while let Some(busy) = next() {
                    look_through(busy, &metrics);
                }
            };
            with_deadline(WALK, NODE, patience, walk)
        });
        let metrics = self.metrics.clone();
        let counted = (!counted.is_empty())
            .then(|| with_deadline(WALK, NODE, patience, move || look_at_counted(counted, &metrics)));
        // What of these hangs must not take the place of another.
        let each = each.into_iter().map(async |busy| {
            let path = busy.ask.path.display().to_string();
            with_deadline("statfs", path, patience, move || look(busy)).await
        });
        let quick = (!quick.is_empty())
            .then(|| with_deadline("statfs", NODE, patience, move || quick.into_iter().for_each(look)));
        let (walkers, each, quick, counted) =
            futures::join!(join_all(walkers), join_all(each), join_all(quick), join_all(counted));
        for error in [walkers, each, quick, counted].into_iter().flatten().filter_map(Result::err) {
            // A directory that is large is no news.
            if !matches!(error, Abandoned::Late { what: WALK, .. }) {
                tracing::warn!(%error, "A file system could not be measured");
            }
        }
    }

    async fn others(&self, asks: &[Ask], begun: Moment, patience: Duration) {
        let ended = lock(&self.slots).ended();
        loop {
            let mut next = std::pin::pin!(ended.notified());
            next.as_mut().enable();
            if !lock(&self.slots).is_awaited(asks, begun, patience) {
                return;
            }
            next.await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks how full the file system at one path is.
fn look(busy: Busy) {
    look_with(busy, |_| Ok(None));
}

/// Looks through one directory.
fn look_through(busy: Busy, metrics: &Metrics) {
    let begun = Instant::now();
    look_with(busy, |path| diskuse::of(path).map(Some));
    metrics.looked_through(begun.elapsed());
}

/// Asks file systems for what they have counted; what they do not tell of is looked through.
fn look_at_counted(all: Vec<Busy>, metrics: &Metrics) {
    let begun = Instant::now();
    let used = all.first().map(|busy| projectquota::used_at(&busy.ask.path));
    let used = used.and_then(|used| {
        let told = used.map_err(|error| {
            let error = telemetry::chain(&error);
            tracing::debug!(error, "A file system does not tell what it has counted");
        });
        told.ok()
    });
    if used.is_some() {
        metrics.counted(begun.elapsed());
    }
    let used = used.unwrap_or_default();
    for busy in all {
        match count(busy.ask.how, &used) {
            Some(count) => look_with(busy, |_| Ok(Some(count))),
            None => look_through(busy, metrics),
        }
    }
}

/// What was counted. A directory counts itself: who has counted nothing counts something else.
fn count(how: How, used: &BTreeMap<ProjectId, DiskUse>) -> Option<DiskUse> {
    let How::Counted(project) = how else { return None };
    used.get(&project).copied().filter(|used| used.inodes > 0)
}

fn look_with(busy: Busy, below: impl FnOnce(&Path) -> Result<Option<DiskUse>, linux::PathError>) {
    let begun = Moment::now();
    let path = &busy.ask.path;
    match below(path).and_then(|below| Ok((statfs::usage(path)?, below))) {
        Ok((fs, below)) => {
            let moment = Moment::now();
            busy.found(Found { moment, fs, below }, moment.since(begun));
        }
        // It went away with its pod.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::debug!(error = %telemetry::chain(&error), "A path could not be measured"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn disks() -> Disks {
        Disks::new(Metrics::register(&telemetry::metrics::Registry::new()))
    }

    fn ask(path: &Path, how: How, max_age: Duration) -> Ask {
        Ask { path: path.to_owned(), how, quick: how == How::Full, max_age }
    }

    #[tokio::test]
    async fn directories_are_looked_through_again_when_they_are_due() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), vec![1; 10_000]).unwrap();
        let disks = disks();
        let of = |finds: &Finds| finds[dir.path()].below.unwrap();
        let hour = Duration::from_secs(3600);
        let first = disks.measure(vec![ask(dir.path(), How::Below, hour)], PATIENCE).await;
        assert_eq!(of(&first).inodes, 2);
        assert!(first[dir.path()].fs.capacity_bytes > 0);

        std::fs::write(dir.path().join("b"), "").unwrap();
        let again = disks.measure(vec![ask(dir.path(), How::Below, hour)], PATIENCE).await;
        assert_eq!(again, first, "an hour is not over");
        let due = disks.measure(vec![ask(dir.path(), How::Below, Duration::ZERO)], PATIENCE).await;
        assert_eq!(of(&due).inodes, 3);
    }

    #[tokio::test]
    async fn what_is_not_counted_after_all_is_looked_through() {
        let dir = tempfile::tempdir().unwrap();
        let how = How::Counted(ProjectId(u32::MAX));
        let found = disks().measure(vec![ask(dir.path(), how, Duration::ZERO)], PATIENCE).await;
        assert_eq!(found[dir.path()].below.unwrap().inodes, 1);
    }

    #[test]
    fn what_was_counted() {
        let used = |inodes| DiskUse { bytes: 4096, inodes };
        let all = BTreeMap::from([(ProjectId(1), used(3)), (ProjectId(2), used(0))]);
        for (how, found) in [
            (How::Counted(ProjectId(1)), Some(used(3))),
            (How::Counted(ProjectId(2)), None),
            (How::Counted(ProjectId(3)), None),
            (How::Below, None),
        ] {
            assert_eq!(count(how, &all), found, "{how:?}");
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let disks = disks();
        let none = dir.path().join("none");
        let asks = vec![
            ask(&none, How::Below, Duration::ZERO),
            ask(&none.join("x"), How::Full, Duration::ZERO),
            ask(dir.path(), How::Full, Duration::ZERO),
        ];
        let found = disks.measure(asks.clone(), PATIENCE).await;
        assert_eq!(found.keys().collect::<Vec<_>>(), [dir.path()]);
        // What was busy is free again.
        std::fs::create_dir(&none).unwrap();
        assert!(disks.measure(asks, PATIENCE).await.contains_key(&none));
    }

    #[tokio::test]
    async fn two_who_ask_at_once_are_both_answered() {
        let dir = tempfile::tempdir().unwrap();
        let disks = disks();
        for how in [How::Full, How::Below] {
            let ask = || vec![ask(dir.path(), how, Duration::ZERO)];
            let other_disks = disks.clone();
            let (one, other) =
                tokio::join!(disks.measure(ask(), PATIENCE), other_disks.measure(ask(), PATIENCE));
            assert!(one.contains_key(dir.path()) && other.contains_key(dir.path()), "{how:?}");
        }
    }

    #[tokio::test]
    async fn many_directories_share_few_threads() {
        let dir = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = (0..100).map(|n| dir.path().join(n.to_string())).collect();
        paths.iter().for_each(|path| std::fs::create_dir(path).unwrap());
        let asks = paths.iter().map(|path| ask(path, How::Below, Duration::ZERO)).collect();
        assert_eq!(disks().measure(asks, PATIENCE).await.len(), 100);
    }
}
