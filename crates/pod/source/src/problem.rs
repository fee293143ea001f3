//! What is wrong with manifests, for `berth pods` and the log.

use std::fmt;

use document::Location;
use jiff::Timestamp;

/// How bad a problem is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// The manifest is not used as it is.
    Error,
    /// The manifest is used, but probably does not say what its author meant.
    Warning,
}

/// What kind of problem it is, in one word for programs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Reason {
    /// It could not be opened or read.
    Unreadable,
    /// It is a directory, device, pipe or socket.
    NotRegularFile,
    /// It is longer than 10 MiB.
    TooLarge,
    /// It is empty.
    Empty,
    /// It is neither YAML nor JSON, or is no Pod.
    Malformed,
    /// It is of another kind than Pod.
    UnsupportedKind,
    /// A value is not valid; also the reason of the pod's event.
    FailedValidation,
    /// It refers to objects of the API server.
    ApiReference,
    /// Another manifest has a pod of the same name or UID.
    Duplicate,
    /// A field is not known.
    UnknownField,
    /// A field's feature gate is off.
    FeatureOff,
    /// A key is there twice.
    DuplicateKey,
    /// Changes cannot be watched; they are seen at the next check.
    WatchFailed,
    /// The URL did not answer as it should.
    FetchFailed,
}

impl Reason {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "Unreadable",
            Self::NotRegularFile => "NotRegularFile",
            Self::TooLarge => "TooLarge",
            Self::Empty => "Empty",
            Self::Malformed => "Malformed",
            Self::UnsupportedKind => "UnsupportedKind",
            Self::FailedValidation => "FailedValidation",
            Self::ApiReference => "APIReference",
            Self::Duplicate => "Duplicate",
            Self::UnknownField => "UnknownField",
            Self::FeatureOff => "FeatureOff",
            Self::DuplicateKey => "DuplicateKey",
            Self::WatchFailed => "WatchFailed",
            Self::FetchFailed => "FetchFailed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that is wrong with one manifest. Shown as `path:line:column: message`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ManifestProblem {
    /// The file's path (bytes that are not UTF-8 replaced) or the URL.
    pub path: String,
    /// Where in it, if it is about a place.
    pub location: Option<Location>,
    /// Whether the manifest is used nonetheless.
    pub severity: Severity,
    /// The kind of problem.
    pub reason: Reason,
    /// What is wrong and what to do, for people.
    pub message: String,
    /// Since when it has been seen.
    pub since: Timestamp,
}

impl fmt::Display for ManifestProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(location) = self.location {
            write!(f, ":{location}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A problem as it is found: without the manifest's path and without a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    pub(crate) location: Option<Location>,
    pub(crate) severity: Severity,
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn error(reason: Reason, message: impl Into<String>) -> Self {
        Self { location: None, severity: Severity::Error, reason, message: message.into() }
    }

    pub(crate) fn warning(reason: Reason, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(reason, message) }
    }

    pub(crate) fn at(self, location: Location) -> Self {
        Self { location: Some(location), ..self }
    }

    pub(crate) fn of(self, path: &str, since: Timestamp) -> ManifestProblem {
        let Self { location, severity, reason, message } = self;
        ManifestProblem { path: path.to_owned(), location, severity, reason, message, since }
    }
}

/// `new` problems, those that were known in `old` with the time since when.
pub(crate) fn keep_since(old: &[ManifestProblem], mut new: Vec<ManifestProblem>) -> Vec<ManifestProblem> {
    for problem in &mut new {
        let same = |known: &&ManifestProblem| {
            (&known.path, known.reason, known.location, &known.message)
                == (&problem.path, problem.reason, problem.location, &problem.message)
        };
        if let Some(known) = old.iter().find(same) {
            problem.since = known.since;
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_its_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let bad = Finding::error(Reason::Empty, "empty").of("/m/a", at(1));
        let again = Finding::error(Reason::Empty, "empty").of("/m/a", at(2));
        let other = Finding::error(Reason::Empty, "empty").of("/m/b", at(2));
        let kept = keep_since(std::slice::from_ref(&bad), vec![again, other.clone()]);
        assert_eq!(kept, [bad, other]);
    }
}
