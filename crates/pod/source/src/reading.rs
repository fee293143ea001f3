//! What sources read.

use types::SourceKind;

use crate::diff::Found;
use crate::problem::ManifestProblem;

/// What one source read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) kind: SourceKind,
    /// All its pods; `None` if they could not be read, and stay as they were.
    pub(crate) found: Option<Vec<Found>>,
    /// False while a part of it could never be read: which pods that asks for is not known.
    pub(crate) whole: bool,
    pub(crate) problems: Vec<ManifestProblem>,
}
