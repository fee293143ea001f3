//! Certificates and keys as PEM text: in a file that somebody may change, or in memory.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::TlsError;

/// The largest file that is read, in bytes. Bundles of public authorities have about 250 KiB.
const LARGEST: u64 = 4 << 20;

/// PEM text from somewhere.
#[derive(Clone)]
pub enum Pem {
    /// A file, which is read again when it has changed.
    File(PathBuf),
    /// Text that never changes.
    Text(Arc<str>),
}

impl Pem {
    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Text(_) => None,
        }
    }

    /// For messages.
    pub(crate) fn origin(&self) -> String {
        self.file().map_or_else(|| "memory".to_owned(), |path| path.display().to_string())
    }

    /// All certificates in it, at least one.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let text = self.read()?;
        let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let content = |source| TlsError::Content { origin: self.origin(), what: "certificate", source };
        let all = all.map_err(content)?;
        if all.is_empty() { Err(content(pem::Error::NoItemsFound)) } else { Ok(all) }
    }

    /// The first key in it.
    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let text = self.read()?;
        PrivateKeyDer::from_pem_slice(&text).map_err(|source| TlsError::Content {
            origin: self.origin(),
            what: "key",
            source,
        })
    }

    fn read(&self) -> Result<Vec<u8>, TlsError> {
        match self {
            Self::Text(text) => Ok(text.as_bytes().to_vec()),
            Self::File(path) => {
                let mut bytes = Vec::new();
                let read = File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes));
                read.map_err(|source| TlsError::Read { path: path.clone(), source })?;
                Ok(bytes)
            }
        }
    }
}

/// Without the text, which may be a key.
impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pem").field(&self.origin()).finish()
    }
}
