//! What containers do.

use std::time::Duration;

/// How a container behaves. The default runs until it is stopped, and then ends at once.
#[derive(Clone, Debug)]
pub struct Script {
    /// It ends with this exit code as soon as it is started.
    pub exits_at_once: Option<i32>,
    /// How long it takes to end after it was asked to. Past the grace period it is killed (exit code 137).
    pub stops_after: Duration,
    /// Its exit code when it was asked to end.
    pub stop_code: i32,
}

impl Default for Script {
    fn default() -> Self {
        Self { exits_at_once: None, stops_after: Duration::ZERO, stop_code: 143 }
    }
}

/// How a command in a container behaves. The default succeeds at once and writes nothing.
#[derive(Clone, Default, Debug)]
pub struct ExecAnswer {
    /// What it writes to its standard output.
    pub stdout: Vec<u8>,
    /// What it writes to its standard error.
    pub stderr: Vec<u8>,
    /// Its exit code.
    pub exit_code: i32,
    /// How long it runs.
    pub takes: Duration,
}
