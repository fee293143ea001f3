//! The tasks of the program, by name.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// A task that ended though the program goes on.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Ended {
    /// It returned.
    #[error("task {0:?} ended")]
    Returned(&'static str),
    /// It panicked.
    #[error("task {0:?} panicked")]
    Panicked(&'static str),
    /// It failed.
    #[error("task {name:?} failed: {error}")]
    Failed {
        /// Its name.
        name: &'static str,
        /// Why, with the chain of causes.
        error: String,
    },
}

/// Runs tasks that are meant to last as long as the program.
#[derive(Debug, Default)]
pub struct Supervisor {
    tasks: JoinSet<Result<(), String>>,
    names: HashMap<Id, &'static str>,
    shutdown: CancellationToken,
}

impl Supervisor {
    /// No tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task that never ends by itself. It is dropped when the program is to end, wherever it waits.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_finishing(name, |shutdown| async move {
            shutdown.run_until_cancelled_owned(task).await;
            Ok(())
        });
    }

    /// Starts such a task that has something to finish when the program is to end, and ends by itself once the token
    /// that it gets is cancelled. Its failure, told with its chain of causes, is the program's.
    pub fn spawn_finishing<F>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let id = self.tasks.spawn(task(self.shutdown.clone())).id();
        self.names.insert(id, name);
    }

    /// Waits for the first task that ends. Pending as long as none does.
    pub async fn first_end(&mut self) -> Ended {
        let Some(end) = self.tasks.join_next_with_id().await else { return std::future::pending().await };
        let mut name = |id| self.names.remove(&id).unwrap_or("unnamed");
        match end {
            Ok((id, Ok(()))) => Ended::Returned(name(id)),
            Ok((id, Err(error))) => Ended::Failed { name: name(id), error },
            Err(error) => Ended::Panicked(name(error.id())),
        }
    }

    /// Drops all tasks but those that have something to finish, and those too that have not by `deadline`. Returns the
    /// names of the latter, sorted.
    pub async fn stop(mut self, deadline: Duration) -> Vec<&'static str> {
        self.shutdown.cancel();
        let deadline = Instant::now() + deadline;
        while let Ok(Some(end)) = timeout_at(deadline, self.tasks.join_next_with_id()).await {
            let id = end.map_or_else(|error| error.id(), |(id, _)| id);
            self.names.remove(&id);
        }
        let mut busy: Vec<_> = self.names.into_values().collect();
        busy.sort_unstable();
        busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_the_one_that_ended() {
        let mut supervisor = Supervisor::new();
        supervisor.spawn("waiter", std::future::pending());
        supervisor.spawn("ender", async {});
        assert_eq!(supervisor.first_end().await, Ended::Returned("ender"));
        supervisor.spawn_finishing("failer", |_| async { Err("no socket".into()) });
        let failed = supervisor.first_end().await;
        assert_eq!(failed.to_string(), "task \"failer\" failed: no socket");
    }

    #[tokio::test(start_paused = true)]
    async fn stop_names_those_that_do_not_follow() {
        let mut supervisor = Supervisor::new();
        supervisor.spawn("has nothing to finish", std::future::pending());
        supervisor.spawn_finishing("follows", |shutdown| async move {
            shutdown.cancelled().await;
            Ok(())
        });
        supervisor.spawn_finishing("hangs", |_| std::future::pending());
        let begun = Instant::now();
        assert_eq!(supervisor.stop(Duration::from_secs(3)).await, ["hangs"]);
        assert_eq!(begun.elapsed().as_secs(), 3);
        assert!(Supervisor::new().stop(Duration::from_secs(3)).await.is_empty());
    }
}
