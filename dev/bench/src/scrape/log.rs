//! A long log, as the runtime would have written it. Having a container write it would take longer and measure the
//! runtime.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lab::node::Node;

use crate::pods::CONTAINER;

/// What is before the text of each line in the runtime's file.
const PREFIX: &str = "2026-01-02T03:04:05.678901234Z stdout F ";

/// The text of a line, with its end: a usual length.
const LINE: [u8; 128] = {
    let mut line = [b'x'; 128];
    line[127] = b'\n';
    line
};

/// Appends `bytes` of text to the empty log of the pod. A multiple of the length of a line.
pub(super) fn lengthen(node: &Node, pod: &str, bytes: u64) -> Result<()> {
    let path = file(&node.logs(), pod)?;
    let log = OpenOptions::new().append(true).open(&path);
    let log = log.with_context(|| format!("open {}", path.display()))?;
    let mut log = BufWriter::with_capacity(1 << 20, log);
    write(&mut log, bytes).and_then(|()| log.flush()).with_context(|| format!("write {}", path.display()))
}

fn write(log: &mut impl std::io::Write, bytes: u64) -> std::io::Result<()> {
    for _ in 0..bytes / LINE.len() as u64 {
        log.write_all(PREFIX.as_bytes())?;
        log.write_all(&LINE)?;
    }
    Ok(())
}

/// The file of the log: `<logs>/<namespace>_<pod>_<uid>/<container>/0.log`.
fn file(logs: &Path, pod: &str) -> Result<PathBuf> {
    let begins = format!("default_{pod}_");
    let entries = std::fs::read_dir(logs).with_context(|| format!("read {}", logs.display()))?;
    let mut folders =
        entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&begins));
    let folder = folders.next().with_context(|| format!("{pod} has no logs in {}", logs.display()))?;
    Ok(folder.path().join(CONTAINER).join("0.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_runtimes_and_their_text_is_as_long_as_asked_for() {
        let mut log = Vec::new();
        write(&mut log, 1 << 10).unwrap();
        let log = String::from_utf8(log).unwrap();
        let lines: Vec<_> = log.lines().map(|line| line.strip_prefix(PREFIX).unwrap()).collect();
        assert_eq!(lines.iter().map(|line| line.len() + 1).sum::<usize>(), 1 << 10);
    }
}
