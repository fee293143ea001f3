//! Commands in containers.

use std::time::Duration;

use types::ContainerId;

/// How a command in a container ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ran {
    /// By itself.
    Ended {
        /// Its exit code.
        code: i32,
        /// What it wrote.
        output: Vec<u8>,
    },
    /// It had to be killed: it took longer than it may.
    TimedOut,
}

/// A command could not be run. It says nothing about the container.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ExecError(pub String);

/// Runs commands in containers.
pub trait Exec: Send + Sync + 'static {
    /// Runs `command` in the container, for no longer than `limit`.
    ///
    /// # Errors
    /// It could not be run, or it is not known how it ended.
    fn exec(
        &self,
        container: &ContainerId,
        command: Vec<String>,
        limit: Duration,
    ) -> impl Future<Output = Result<Ran, ExecError>> + Send;
}
