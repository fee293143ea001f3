//! The rules of the house that a program can check.

mod docs;
mod fields;
mod gates;
mod layers;
mod metrics;
mod monitoring;
mod settings;
mod size;

use anyhow::Result;

use crate::files;

/// What one rule found.
#[derive(Default)]
pub(crate) struct Findings {
    /// Breaches, each naming the file or crate and what to do.
    pub(crate) errors: Vec<String>,
    /// What a reader may want to know, without failing.
    pub(crate) notes: Vec<String>,
}

/// What all rules found.
pub(crate) struct Report {
    rules: Vec<(&'static str, Findings)>,
}

impl Report {
    /// Prints the findings; true if no rule is broken.
    pub(crate) fn print(&self) -> bool {
        let mut broken = 0;
        for (rule, findings) in &self.rules {
            for note in &findings.notes {
                println!("tidy {rule}: {note}");
            }
            for error in &findings.errors {
                println!("tidy {rule}: error: {error}");
            }
            broken += findings.errors.len();
        }
        println!("tidy: {} rules, {broken} breaches", self.rules.len());
        broken == 0
    }
}

/// Checks every rule.
pub(crate) fn run() -> Result<Report> {
    let files = files::rust()?;
    let rules = vec![
        ("layers", layers::check()?),
        ("size", size::check(&files)?),
        ("metrics", metrics::check(&files)?),
        ("settings", settings::check(&files)?),
        ("gates", gates::check(&files)?),
        ("docs", docs::check(&files)),
        ("monitoring", monitoring::check()?),
    ];
    Ok(Report { rules })
}
