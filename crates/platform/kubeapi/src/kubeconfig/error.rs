//! What is wrong with a kubeconfig, with the file and the field.

use std::path::{Path, PathBuf};

use kube::config as file;

/// A kubeconfig that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// The file cannot be read.
    #[error("kubeconfig {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not YAML or not a kubeconfig. The text has no part of the file: it may hold secrets.
    #[error("kubeconfig {}: {reason}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
    /// A field cannot be used.
    #[error("kubeconfig {}: {field} {reason}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field, such as `users[node].user.client-key`.
        field: String,
        /// Why.
        reason: String,
    },
    /// A file that a field names cannot be used.
    #[error("kubeconfig {}: {field}: {}", path.display(), file.display())]
    File {
        /// The kubeconfig.
        path: PathBuf,
        /// The field.
        field: String,
        /// The file that it names.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A field of a kubeconfig, for errors about it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    path: PathBuf,
    field: String,
}

impl Place {
    pub(super) fn new(path: &Path, field: &str) -> Self {
        Self { path: path.to_owned(), field: field.to_owned() }
    }

    /// The field `name` of this one.
    pub(crate) fn at(&self, name: &str) -> Self {
        Self { path: self.path.clone(), field: format!("{}.{name}", self.field) }
    }

    pub(crate) fn error(&self, reason: impl Into<String>) -> KubeconfigError {
        KubeconfigError::Field { path: self.path.clone(), field: self.field.clone(), reason: reason.into() }
    }

    pub(crate) fn file(&self, file: &Path, source: std::io::Error) -> KubeconfigError {
        KubeconfigError::File {
            path: self.path.clone(),
            field: self.field.clone(),
            file: file.to_owned(),
            source,
        }
    }
}

pub(super) fn reading(path: &Path, error: file::KubeconfigError) -> KubeconfigError {
    let path = path.to_owned();
    match error {
        file::KubeconfigError::ReadConfig(source, _) => KubeconfigError::Read { path, source },
        file::KubeconfigError::Parse(error) => {
            // The first line says where and what; those below show the file.
            let text = error.to_string();
            KubeconfigError::Parse { path, reason: text.lines().next().unwrap_or_default().to_owned() }
        }
        error => KubeconfigError::Parse { path, reason: error.to_string() },
    }
}
