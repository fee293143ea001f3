//! The manifests under one path: what was last good in each, read again where something changed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use types::{Pod, SourceKind};

use crate::diff::Found;
use crate::identity::Origin;
use crate::manifest::{self, Manifest, Rules};
use crate::open::{self, Opened, Stamp};
use crate::problem::{Finding, ManifestProblem, Reason, Severity};
use crate::reading::Reading;

/// A manifest directory, or a single manifest file.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    node_name: String,
    rules: Rules,
    files: BTreeMap<PathBuf, Known>,
    /// Whether the files could ever be listed.
    listed: bool,
}

/// What is known of one file.
#[derive(Debug, Default)]
struct Known {
    /// The state in which it was read; `None` if it could not be read.
    stamp: Option<Stamp>,
    /// Its pods, as they were when it was last good.
    pods: Vec<Pod>,
    findings: Vec<Finding>,
}

impl Known {
    /// Whether it was never good: what it asks for is not known.
    fn is_unread(&self) -> bool {
        self.pods.is_empty() && self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }
}

/// Which files have to be read again even if they look the same.
#[derive(Debug)]
pub(crate) enum Dirty {
    All,
    Names(BTreeSet<OsString>),
}

impl Dirty {
    fn has(&self, path: &Path) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => path.file_name().is_some_and(|name| names.contains(name)),
        }
    }
}

impl Folder {
    pub(crate) fn new(path: PathBuf, node_name: String, rules: Rules) -> Self {
        Self { path, node_name, rules, files: BTreeMap::new(), listed: false }
    }

    /// Reads what changed, and says what there is now.
    pub(crate) fn scan(&mut self, dirty: &Dirty) -> Reading {
        let mut problems = Vec::new();
        match list(&self.path) {
            Ok(paths) => {
                self.listed = true;
                self.files.retain(|path, _| paths.contains(path));
                for path in paths {
                    self.look(path, dirty);
                }
            }
            // What is there cannot be known, so it stays as it was.
            Err(error) => {
                let message =
                    format!("the manifests could not be listed ({error}); the pods stay as they were");
                problems.push(self.problem(&self.path, Finding::error(Reason::Unreadable, message)));
            }
        }
        let mut found = Vec::new();
        for (path, known) in &self.files {
            let place = path.to_string_lossy();
            found.extend(known.pods.iter().map(|pod| Found { place: place.to_string(), pod: pod.clone() }));
            problems.extend(known.findings.iter().map(|finding| self.problem(path, finding.clone())));
        }
        let whole = self.listed && !self.files.values().any(Known::is_unread);
        Reading { kind: SourceKind::File, found: Some(found), whole, problems }
    }

    fn problem(&self, path: &Path, finding: Finding) -> ManifestProblem {
        finding.of(&path.to_string_lossy(), Timestamp::now())
    }

    fn look(&mut self, path: PathBuf, dirty: &Dirty) {
        let (manifest, stamp) = match open::open(&path) {
            Opened::Vanished => {
                self.files.remove(&path);
                return;
            }
            Opened::Bad(finding) => (Manifest::failed(finding), None),
            Opened::File(file, stamp) => {
                let same = self.files.get(&path).is_some_and(|known| known.stamp == Some(stamp));
                if same && !dirty.has(&path) {
                    return;
                }
                let origin = Origin::file(&path, &self.node_name);
                match open::read(file) {
                    Ok(bytes) => (manifest::read_file(&bytes, &origin, &self.rules), Some(stamp)),
                    Err(finding) => (Manifest::failed(finding), None),
                }
            }
        };
        let known = self.files.entry(path).or_default();
        known.stamp = stamp;
        known.findings = manifest.findings;
        let note = if manifest.pods.is_empty() && !known.pods.is_empty() {
            " (the pod keeps running as the file said before)"
        } else {
            known.pods = manifest.pods;
            " (if a pod runs from it, that is left alone)"
        };
        for finding in known.findings.iter_mut().filter(|finding| finding.severity == Severity::Error) {
            finding.message.push_str(note);
        }
    }
}

/// The manifest files at `path`, sorted: itself, or what a directory has but for names that begin with a dot.
fn list(path: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    if !meta.is_dir() {
        return Ok(BTreeSet::from([path.to_owned()]));
    }
    let mut paths = BTreeSet::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if !entry.file_name().as_bytes().starts_with(b".") {
            paths.insert(entry.path());
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests;
