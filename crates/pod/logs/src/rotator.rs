//! The task that rotates the logs of the containers that run.

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use jiff::Zoned;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use types::ContainerId;

use crate::rotation::{Finding, put_aside, put_back};
use crate::{RotationError, RotationPolicy};

/// The log of one container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContainerLog {
    /// Whose it is.
    pub container: ContainerId,
    /// The file that the runtime writes.
    pub path: PathBuf,
}

/// What rotation needs of the runtime.
pub trait Containers: Send + Sync {
    /// The logs of the containers that run.
    fn running(&self) -> impl Future<Output = Vec<ContainerLog>> + Send;

    /// Has the runtime open the container's log anew (`ReopenContainerLog`). An error is what the operator is told.
    fn reopen(&self, container: &ContainerId) -> impl Future<Output = Result<(), String>> + Send;
}

/// Rotates logs. It has a timer, since the kernel tells of every write but not of a size.
#[derive(Debug)]
pub struct Rotator<C> {
    containers: C,
    policy: RotationPolicy,
    every: Duration,
    workers: usize,
}

impl<C: Containers> Rotator<C> {
    /// A rotator that looks at all logs `every` so often (`containerLogMonitorInterval`), at `workers` of them at once
    /// (`containerLogMaxWorkers`).
    pub fn new(containers: C, policy: RotationPolicy, every: Duration, workers: usize) -> Self {
        Self { containers, policy, every, workers: workers.max(1) }
    }

    /// Rotates until dropped. Ends at once if rotation is turned off.
    pub async fn run(self) {
        if self.policy.max_bytes.is_none() {
            return;
        }
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.look().await;
        }
    }

    /// Looks at every log once. One that cannot be rotated is named in the log and keeps no other back.
    pub async fn look(&self) {
        let logs = self.containers.running().await;
        let rotations = futures::stream::iter(logs).for_each_concurrent(self.workers, async |log| {
            if let Err(error) = self.rotate(&log).await {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                tracing::warn!(container = %log.container, %error, cause, "Could not rotate a container's log");
            }
        });
        rotations.await;
    }

    async fn rotate(&self, log: &ContainerLog) -> Result<(), RotationError> {
        let (path, policy) = (log.path.clone(), self.policy);
        let found = blocking(log, move || put_aside(&path, policy, &Zoned::now())).await?;
        if found == Finding::Small {
            return Ok(());
        }
        let Err(message) = self.containers.reopen(&log.container).await else { return Ok(()) };
        if let Finding::Aside(aside) = found {
            let path = log.path.clone();
            blocking(log, move || put_back(&path, &aside)).await?;
        }
        Err(RotationError::Reopen { container: log.container.clone(), path: log.path.clone(), message })
    }
}

async fn blocking<T: Send + 'static>(
    log: &ContainerLog,
    work: impl FnOnce() -> Result<T, RotationError> + Send + 'static,
) -> Result<T, RotationError> {
    spawn_blocking(work).await.unwrap_or_else(|_| Err(RotationError::Abandoned { path: log.path.clone() }))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;

    /// A runtime with one container, which reopens its log, or refuses to.
    struct Fake {
        path: PathBuf,
        refuses: bool,
        reopened: Mutex<u32>,
    }

    impl Fake {
        fn new(dir: &Path, refuses: bool) -> Self {
            Self { path: dir.join("0.log"), refuses, reopened: Mutex::new(0) }
        }
    }

    impl Containers for Fake {
        async fn running(&self) -> Vec<ContainerLog> {
            vec![ContainerLog { container: "abc".into(), path: self.path.clone() }]
        }

        async fn reopen(&self, container: &ContainerId) -> Result<(), String> {
            assert_eq!(container.as_str(), "abc");
            *self.reopened.lock().unwrap() += 1;
            if self.refuses {
                return Err("no such container".to_owned());
            }
            fs::write(&self.path, "").map_err(|error| error.to_string())
        }
    }

    fn rotator(fake: Fake) -> Rotator<Fake> {
        let policy = RotationPolicy { max_bytes: Some(4), max_files: 5 };
        Rotator::new(fake, policy, Duration::from_secs(10), 1)
    }

    fn files(dir: &Path) -> usize {
        fs::read_dir(dir).unwrap().count()
    }

    #[tokio::test]
    async fn a_large_log_is_rotated_and_reopened() {
        let dir = tempfile::tempdir().unwrap();
        let rotator = rotator(Fake::new(dir.path(), false));
        fs::write(dir.path().join("0.log"), "12345").unwrap();
        rotator.look().await;
        assert_eq!((files(dir.path()), fs::read_to_string(dir.path().join("0.log")).unwrap().len()), (2, 0));
        rotator.look().await;
        assert_eq!(*rotator.containers.reopened.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn a_log_that_is_not_reopened_is_put_back() {
        let dir = tempfile::tempdir().unwrap();
        let rotator = rotator(Fake::new(dir.path(), true));
        fs::write(dir.path().join("0.log"), "12345").unwrap();
        rotator.look().await;
        assert_eq!(fs::read_to_string(dir.path().join("0.log")).unwrap(), "12345");
        assert_eq!(files(dir.path()), 1);
    }

    #[tokio::test]
    async fn a_log_that_is_missing_is_reopened() {
        let dir = tempfile::tempdir().unwrap();
        rotator(Fake::new(dir.path(), false)).look().await;
        assert!(dir.path().join("0.log").exists());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_runs_when_rotation_is_off() {
        let dir = tempfile::tempdir().unwrap();
        let policy = RotationPolicy { max_bytes: None, max_files: 5 };
        Rotator::new(Fake::new(dir.path(), false), policy, Duration::from_secs(10), 1).run().await;
        assert_eq!(files(dir.path()), 0);
    }
}
