//! Why bytes are no document, or a document is not what was asked for.

use std::fmt;

use crate::{Location, Path};

/// What kind of thing is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// Longer than the caller allows.
    TooLarge,
    /// No content at all, or only comments.
    Empty,
    /// Not UTF-8.
    Encoding,
    /// Neither YAML nor JSON.
    Syntax,
    /// More than one YAML document.
    MultipleDocuments,
    /// Nested too deep, or growing too large by its aliases.
    TooComplex,
    /// A value of another type than its field has.
    Type,
}

/// Why bytes could not be read as a document, or as a `T`: what, at which field, at which line and column.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DocumentError {
    /// What kind of thing is wrong.
    pub kind: ErrorKind,
    /// What is wrong, in words.
    pub message: String,
    /// The field that it is about, if it is about one.
    pub path: Option<Path>,
    /// Where it is written, if it is about a place.
    pub location: Option<Location>,
}

impl DocumentError {
    pub(crate) fn new(kind: ErrorKind, message: String) -> Self {
        Self { kind, message, path: None, location: None }
    }

    pub(crate) fn located(mut self, location: Location) -> Self {
        self.location = self.location.or(Some(location));
        self
    }

    /// Adds where it happened, unless a deeper place is known already.
    pub(crate) fn at(mut self, path: Path, location: Option<Location>) -> Self {
        if self.path.is_none() {
            self.path = Some(path);
            self.location = self.location.or(location);
        }
        self
    }
}

/// `line:column: path: message`, without the parts that are unknown.
impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(location) = self.location {
            write!(f, "{location}: ")?;
        }
        if let Some(path) = self.path.as_ref().filter(|path| !path.is_empty()) {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for DocumentError {}
