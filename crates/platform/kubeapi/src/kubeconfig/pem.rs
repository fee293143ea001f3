//! Certificates and keys: in the kubeconfig itself, or in a file that it names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::KubeconfigError;
use super::error::Place;

/// PEM text from somewhere.
#[derive(Clone)]
pub(crate) struct Pem {
    /// The field that holds or names it.
    pub(crate) place: Place,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Inline(Arc<[u8]>),
    File(PathBuf),
}

impl Pem {
    /// The PEM of the field `name` of `place`, or of `name` with `-data`, which wins; `None` if both are missing.
    pub(super) fn new(
        place: &Place,
        name: &str,
        data: Option<&str>,
        file: Option<&str>,
    ) -> Result<Option<Self>, KubeconfigError> {
        if let Some(data) = data.filter(|data| !data.is_empty()) {
            let place = place.at(&format!("{name}-data"));
            let clean: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            let decoded =
                STANDARD.decode(clean).map_err(|error| place.error(format!("is not base64: {error}")))?;
            return Ok(Some(Self { place, source: Source::Inline(decoded.into()) }));
        }
        Ok(file
            .filter(|file| !file.is_empty())
            .map(|file| Self { place: place.at(name), source: Source::File(PathBuf::from(file)) }))
    }

    /// The file it is in, if it is in one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.source {
            Source::Inline(_) => None,
            Source::File(path) => Some(path),
        }
    }

    /// The text as it is now.
    pub(crate) fn read(&self) -> Result<Arc<[u8]>, KubeconfigError> {
        match &self.source {
            Source::Inline(data) => Ok(Arc::clone(data)),
            Source::File(path) => {
                std::fs::read(path).map(Into::into).map_err(|error| self.place.file(path, error))
            }
        }
    }
}

/// Without the text, which may be a key.
impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pem").field("file", &self.file()).finish_non_exhaustive()
    }
}
