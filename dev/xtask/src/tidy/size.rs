//! A file is one noun: long files are named, very long ones are refused. And what is large was not written by us.

use anyhow::{Context, Result};

use super::Findings;
use crate::files::{self, SourceFile};
use crate::workspace;

const REFUSED: usize = 1000;
const NAMED: usize = 500;
/// The largest file of any kind, in bytes.
const LARGEST: u64 = 256 << 10;

pub(super) fn check(files: &[SourceFile]) -> Result<Findings> {
    let mut sizes: Vec<(usize, &SourceFile)> = files
        .iter()
        .filter(|file| !file.is_generated())
        .map(|file| (file.text.lines().count(), file))
        .collect();
    sizes.sort_by_key(|(lines, _)| *lines);

    let mut findings = Findings::default();
    let median = sizes.get(sizes.len() / 2).map_or(0, |(lines, _)| *lines);
    let total: usize = sizes.iter().map(|(lines, _)| lines).sum();
    findings.notes.push(format!("{} files, {total} lines, median {median}", sizes.len()));
    for (lines, file) in sizes.iter().rev().take_while(|(lines, _)| *lines > NAMED) {
        let line = format!("{} has {lines} lines", file.path.display());
        if *lines > REFUSED {
            findings.errors.push(format!("{line}: split it by its nouns (at most {REFUSED})"));
        } else {
            findings.notes.push(line);
        }
    }
    for path in files::all()? {
        let file = workspace::root().join(&path);
        let bytes = file.symlink_metadata().with_context(|| format!("look at {}", path.display()))?.len();
        if bytes > LARGEST {
            let path = path.display();
            findings.errors.push(format!("{path} has {bytes} bytes (at most {LARGEST}): take it out"));
        }
    }
    Ok(findings)
}
