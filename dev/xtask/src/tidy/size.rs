//! A file is one noun: long files are named, very long ones are refused.

use super::Findings;
use crate::workspace::SourceFile;

const REFUSED: usize = 1000;
const NAMED: usize = 500;

pub(super) fn check(files: &[SourceFile]) -> Findings {
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
    findings
}
