//! Logs of programs that were started here.

use std::path::Path;

/// The last lines of a log, for an error; nothing if there is none.
pub fn end(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
