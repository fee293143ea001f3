//! This program, as its pages show it.

use std::fmt;

use jiff::Timestamp;
use serde_json::Value;

/// What is told of this program.
pub struct Process {
    /// The effective configuration, without secrets.
    pub configuration: Value,
    /// Flags by name, with their values as text, without secrets.
    pub flags: Vec<(String, String)>,
    /// The version of Kubernetes that it stands in for, and its own.
    pub version: String,
    /// When it was started.
    pub started: Timestamp,
    /// Changes how much is logged.
    pub set_verbosity: Box<dyn Fn(u32) + Send + Sync>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("version", &self.version).finish_non_exhaustive()
    }
}
