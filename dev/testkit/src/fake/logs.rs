//! Container log files in CRI's format.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Which stream of a container a line was written to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl LogStream {
    fn tag(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Appends `text` to the log file `path`, one full entry a line, all with the time `at` (RFC 3339).
pub(super) fn append(path: &Path, at: &str, stream: LogStream, text: &str) -> io::Result<()> {
    let mut entries = String::new();
    for line in text.lines() {
        entries.push_str(&format!("{at} {} F {line}\n", stream.tag()));
    }
    open(path)?.write_all(entries.as_bytes())
}

/// Makes sure that the log file `path` exists.
pub(super) fn create(path: &Path) -> io::Result<()> {
    open(path).map(drop)
}

fn open(path: &Path) -> io::Result<fs::File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    OpenOptions::new().append(true).create(true).open(path)
}
