//! Configuration files and drop-in files.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;

use document::{Document, DocumentError, Location, Path};
use serde_json::Value;

use crate::kubelet::{API_VERSION, KIND, KubeletConfiguration};
use crate::layer::{get, put};

/// The longest file that is read.
pub(crate) const LIMIT: usize = 10 << 20;

/// Fields that hold a path relative to the file they are in.
const PATHS: [&str; 7] = [
    "staticPodPath",
    "authentication.x509.clientCAFile",
    "tlsCertFile",
    "tlsPrivateKeyFile",
    "resolvConf",
    "volumePluginDir",
    "podLogsDir",
];

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It, or the drop-in directory, cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is no document, or a field has a value of a wrong type.
    #[error("{}:{}{error}", path.display(), if error.location.is_some() { "" } else { " " })]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong where.
        error: DocumentError,
    },
    /// It is something else than a configuration.
    #[error("{}:{at}: {field} is {found:?}, but must be {expected:?}", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// Where the field is.
        at: Location,
        /// `apiVersion` or `kind`.
        field: &'static str,
        /// What it says, or nothing.
        found: String,
        /// What it must say.
        expected: &'static str,
    },
}

/// A file that was read.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    pub(crate) path: Arc<FilePath>,
    pub(crate) document: Document,
    /// Its fields, without `apiVersion` and `kind`, and with absolute paths.
    pub(crate) settings: Value,
    /// Unknown and duplicate fields, which are no error.
    pub(crate) lapses: Vec<Lapse>,
}

/// Something in a file that is ignored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lapse {
    pub(crate) at: Location,
    pub(crate) path: Path,
    pub(crate) message: &'static str,
    pub(crate) hint: Option<String>,
}

/// The bytes of `path`; one more than [`LIMIT`] if there are more.
pub(crate) fn read_bytes(path: &FilePath) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(LIMIT + 1).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the file at `path`.
pub(crate) fn read(path: &FilePath) -> Result<ConfigFile, FileError> {
    let bytes = read_bytes(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    parse(path, &bytes)
}

/// What the file at `path` says, which has `bytes`.
pub(crate) fn parse(path: &FilePath, bytes: &[u8]) -> Result<ConfigFile, FileError> {
    let broken = |error| FileError::Document { path: path.to_owned(), error };
    let document = Document::parse(bytes, LIMIT).map_err(broken)?;
    for (field, expected) in [("apiVersion", API_VERSION), ("kind", KIND)] {
        let found = document.value().get(field).and_then(Value::as_str).unwrap_or_default();
        if found != expected {
            let at = document.nearest_location(field);
            let (path, found) = (path.to_owned(), found.to_owned());
            return Err(FileError::Kind { path, at, field, found, expected });
        }
    }
    let decoded = document.decode::<KubeletConfiguration>().map_err(broken)?;
    let mut lapses: Vec<Lapse> = decoded
        .unknown
        .into_iter()
        .filter(|field| !matches!(field.path.to_string().as_str(), "apiVersion" | "kind"))
        .map(|field| Lapse {
            at: field.location,
            path: field.path,
            message: "unknown field",
            hint: field.hint.map(|hint| format!("did you mean {hint}?")),
        })
        .collect();
    lapses.extend(document.duplicates().iter().map(|duplicate| Lapse {
        at: duplicate.again,
        path: duplicate.path.clone(),
        message: "duplicate field: the last one counts",
        hint: Some(format!("it is in line {} already", duplicate.first.line)),
    }));
    lapses.sort_by_key(|lapse| lapse.at);

    let mut settings = document.value().clone();
    if let Value::Object(fields) = &mut settings {
        fields.retain(|key, _| key != "apiVersion" && key != "kind");
    }
    make_absolute(&mut settings, path);
    Ok(ConfigFile { path: path.into(), document, settings, lapses })
}

fn make_absolute(settings: &mut Value, file: &FilePath) {
    let directory = file.parent().unwrap_or(FilePath::new(""));
    let directory = std::path::absolute(directory).unwrap_or_else(|_| FilePath::new("/").join(directory));
    for field in PATHS {
        let Some(path) = get(settings, field).and_then(Value::as_str).map(FilePath::new) else { continue };
        if !path.as_os_str().is_empty() && path.is_relative() {
            let path = clean(&directory.join(path));
            put(settings, field, Value::String(path.to_string_lossy().into_owned()));
        }
    }
}

/// `path` without `.` and `..`, which are resolved lexically.
pub(crate) fn clean(path: &FilePath) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(cleaned.pop()),
            Component::CurDir => {}
            other => cleaned.push(other),
        }
    }
    cleaned
}

/// The drop-in files (`*.conf`) under `directory`, in the order in which they are applied: by name, directories
/// among the files. Links to directories are not followed.
pub(crate) fn drop_ins(directory: &FilePath) -> Result<Vec<PathBuf>, FileError> {
    let mut found = Vec::new();
    collect_drop_ins(directory, &mut found).map_err(|(path, source)| FileError::Read { path, source })?;
    Ok(found)
}

fn collect_drop_ins(directory: &FilePath, found: &mut Vec<PathBuf>) -> Result<(), (PathBuf, io::Error)> {
    let failed = |error| (directory.to_owned(), error);
    let mut entries =
        std::fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type().map_err(failed)?.is_dir() {
            collect_drop_ins(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "conf") {
            found.push(path);
        }
    }
    Ok(())
}
