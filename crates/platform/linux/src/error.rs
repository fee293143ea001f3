//! The error of calls about one path.

use std::io;
use std::path::{Path, PathBuf};

/// A call about one path failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {doing} {}", path.display())]
pub struct PathError {
    /// What was tried, such as `read` or `watch`.
    pub doing: &'static str,
    /// The path it was tried on.
    pub path: PathBuf,
    /// What the kernel answered.
    #[source]
    pub source: io::Error,
}

impl PathError {
    /// Makes an I/O error one about `path`; for `map_err`.
    pub fn on<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        move |source| Self { doing, path: path.to_owned(), source: source.into() }
    }

    /// The kind of I/O error, to tell a missing path from a refused one.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}
