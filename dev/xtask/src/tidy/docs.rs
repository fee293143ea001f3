//! A crate opens with what it decides, and nothing is left for later inside the code.

use super::Findings;
use crate::files::SourceFile;

/// Words that postpone. Put together here so that this file does not contain them.
const POSTPONING: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X:"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
];

/// A crate's opening says more than its name.
const OPENING_LINES: usize = 3;

pub(super) fn check(files: &[SourceFile]) -> Findings {
    let mut findings = Findings::default();
    for file in files {
        let path = file.path.display();
        let is_root = file.path.ends_with("src/lib.rs") || file.path.ends_with("src/main.rs");
        let opening = file.text.lines().take_while(|line| line.starts_with("//!")).count();
        if is_root && opening < OPENING_LINES {
            findings.errors.push(format!("{path}: open with `//!` lines saying what the crate decides, its tasks, and what it does not do"));
        }
        for (number, line) in file.text.lines().enumerate() {
            if let Some(word) = POSTPONING.iter().find(|word| line.contains(**word)) {
                findings
                    .errors
                    .push(format!("{path}:{}: `{word}`: do it, or put it on the roadmap", number + 1));
            }
        }
    }
    findings
}
