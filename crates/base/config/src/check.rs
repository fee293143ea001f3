//! `berth config check`: what an operator should look at in a configuration file.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};

use document::{DocumentError, Location};
use serde_json::Value;

use crate::file::{self, FileError};
use crate::flags::Arguments;
use crate::gates::{self, Stage};
use crate::kubelet::KubeletConfiguration;
use crate::layer::{Origin, get};
use crate::load::{LoadError, combine};
use crate::unacted::is_unacted_gate;
use crate::{defaults, unacted};

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The node agent would not start.
    Error,
    /// Something is ignored, or will not be as it looks.
    Warning,
}

/// Something in a file that an operator should look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// Where it is; the beginning if it is about the file as a whole.
    pub at: Location,
    /// The field, if it is about one.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// `FILE:LINE:COLUMN: SEVERITY: PATH: MESSAGE (HINT)`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}:{}: {severity}: ", self.file.display(), self.at)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

/// Fields without effect, and why.
pub const DEPRECATED: &[(&str, &str)] = &[
    ("iptablesMasqueradeBit", "marking packets is the proxy's concern"),
    ("iptablesDropBit", "dropping packets is the proxy's concern"),
    ("hairpinMode", "the container runtime sets up the network"),
    ("runOnce", "the mode is gone"),
];

/// Looks at each of `files` on its own, as if it were the only one. Findings are in the order of the files, and of
/// the lines in each.
#[must_use]
pub fn check(files: &[PathBuf]) -> Vec<Finding> {
    files
        .iter()
        .flat_map(|path| match file::read_bytes(path) {
            Ok(bytes) => check_bytes(path, &bytes),
            Err(error) => vec![about_file(path, format!("cannot be read: {error}"))],
        })
        .collect()
}

/// The text of `findings`, one per line.
#[must_use]
pub fn render(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

fn about_file(path: &FilePath, message: String) -> Finding {
    let at = Location { line: 1, column: 1 };
    Finding { severity: Severity::Error, file: path.to_owned(), at, path: String::new(), message, hint: None }
}

/// What is to be said about the file at `path`, which has `bytes` that anybody may have written.
#[must_use]
pub fn check_bytes(path: &FilePath, bytes: &[u8]) -> Vec<Finding> {
    let file = match file::parse(path, bytes) {
        Ok(file) => file,
        Err(error) => return vec![unusable(path, error)],
    };
    let mut findings: Vec<Finding> = Vec::new();
    let mut add = |severity, field: &str, at: Option<Location>, message: String, hint: Option<String>| {
        let at = at.unwrap_or_else(|| file.document.nearest_location(field));
        findings.push(Finding { severity, file: path.to_owned(), at, path: field.to_owned(), message, hint });
    };
    for lapse in &file.lapses {
        let field = lapse.path.to_string();
        add(Severity::Warning, &field, Some(lapse.at), lapse.message.to_owned(), lapse.hint.clone());
    }
    for (field, reason) in DEPRECATED {
        if get(&file.settings, field).is_some_and(|value| !value.is_null()) {
            add(Severity::Warning, field, None, format!("has no effect: {reason}"), Some("remove it".into()));
        }
    }
    let standard = serde_json::to_value(KubeletConfiguration::default()).unwrap_or_default();
    for field in defaults::ZERO_IS_UNSET {
        let zero = get(&file.settings, field).filter(|value| !value.is_null() && defaults::is_zero(value));
        if let (Some(zero), Some(standard)) = (zero, get(&standard, field)) {
            let message = format!("{zero} means \"not set\" here: the default {standard} is used");
            add(Severity::Warning, field, None, message, None);
        }
    }
    for (name, value) in file.settings.get("featureGates").and_then(Value::as_object).into_iter().flatten() {
        let field = format!("featureGates[{name}]");
        let field = if name.contains('.') { field } else { format!("featureGates.{name}") };
        if let Some(reason) = gates::without_effect(name) {
            add(Severity::Warning, &field, None, reason.to_owned(), Some("remove it".into()));
        }
        let Some(gate) = gates::find(name) else { continue };
        if gate.locked && *value == Value::Bool(gate.default) {
            let message = format!("is locked to {} and will go", gate.default);
            add(Severity::Warning, &field, None, message, Some("remove it".into()));
        } else if gate.stage == Stage::Deprecated {
            add(Severity::Warning, &field, None, "is deprecated and will go".into(), None);
        }
    }
    for (name, on) in file.settings.get("featureGates").and_then(Value::as_object).into_iter().flatten() {
        if on.as_bool().is_some_and(|on| is_unacted_gate(name, on)) {
            let field = format!("featureGates.{name}");
            add(Severity::Warning, &field, None, "is accepted, but not acted on yet".into(), None);
        }
    }
    for field in unacted().iter().filter(|name| !name.starts_with("--")) {
        if get(&file.settings, field).is_some_and(|value| !value.is_null()) {
            add(Severity::Warning, field, None, "is accepted, but not acted on yet".into(), None);
        }
    }
    if let Err(LoadError::Invalid(problems)) = combine(&Arguments::default(), Some(&file), &[]) {
        for problem in problems {
            let at = match problem.origin {
                Origin::File { at, .. } => Some(at),
                _ => None,
            };
            let exact = file.document.location(&problem.path);
            add(Severity::Error, &problem.path, exact.or(at), problem.message, None);
        }
    }
    findings.sort_by_key(|finding| (finding.at, finding.severity));
    findings
}

fn unusable(path: &FilePath, error: FileError) -> Finding {
    match error {
        FileError::Read { source, .. } => about_file(path, format!("cannot be read: {source}")),
        FileError::Document { error, .. } => {
            let DocumentError { message, path: field, location, .. } = error;
            let mut finding = about_file(path, message);
            finding.at = location.unwrap_or(finding.at);
            finding.path = field.map(|field| field.to_string()).unwrap_or_default();
            finding
        }
        FileError::Kind { at, field, found, expected, .. } => {
            let message = format!("is {found:?}, but must be {expected:?}");
            Finding { at, path: field.to_owned(), ..about_file(path, message) }
        }
    }
}

#[cfg(test)]
mod tests;
