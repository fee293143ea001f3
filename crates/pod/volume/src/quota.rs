//! Volumes that their file system counts: each emptyDir of a pod with users of its own gets a project (KEP-1029 "Quotas for
//! ephemeral storage"), so that nobody has to look through it to know what is in it. A pod's users could take a file out of
//! its project if they were the node's.
//!
//! What is so is on disk: a directory's project in the directory, and which project is whose in `/etc/projects`. What is
//! kept in memory is a copy of that for those who ask often. A volume that cannot be counted is looked through.

mod files;
mod plan;
mod projects;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Debug;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use linux::PathError;
use linux::beneath::{Links, Root, fd_path};
use linux::diskuse::DiskUse;
use linux::projectquota::{Counting, NoProjects, ProjectId, QuotaError, project_of};

use crate::paths::{self, EMPTY_DIR};
use files::Files;
use plan::{Seen, Step, step};

/// A file system that counts.
trait Counter: Debug + Send + Sync {
    /// What each project takes.
    fn used(&self) -> Result<BTreeMap<ProjectId, DiskUse>, QuotaError>;
    /// The project that the open directory is in.
    fn project_of(&self, dir: &OwnedFd, path: &Path) -> Result<Option<ProjectId>, QuotaError>;
    /// Puts the open directory into the project.
    fn put(&self, dir: &OwnedFd, path: &Path, project: ProjectId) -> Result<(), QuotaError>;
    /// Forgets the project.
    fn forget(&self, project: ProjectId) -> Result<(), QuotaError>;
}

impl Counter for Counting {
    fn used(&self) -> Result<BTreeMap<ProjectId, DiskUse>, QuotaError> {
        Self::used(self)
    }

    fn project_of(&self, dir: &OwnedFd, path: &Path) -> Result<Option<ProjectId>, QuotaError> {
        project_of(dir, path)
    }

    fn put(&self, dir: &OwnedFd, path: &Path, project: ProjectId) -> Result<(), QuotaError> {
        Self::put(self, dir, path, project)
    }

    fn forget(&self, project: ProjectId) -> Result<(), QuotaError> {
        Self::forget(self, project)
    }
}

/// Why a volume is not counted.
#[derive(Debug, thiserror::Error)]
enum CountError {
    #[error(transparent)]
    Quota(#[from] QuotaError),
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("/etc/projects cannot name its directory, or has no number left")]
    Unnameable,
}

/// The projects of volumes. Clones share what they know. All but [`Quotas::project`] blocks for as long as the file system
/// does.
#[derive(Clone, Debug)]
pub struct Quotas(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    root_dir: PathBuf,
    files: Files,
    /// Asked of the file system of volumes once, when there is one.
    counter: OnceLock<Option<Box<dyn Counter>>>,
    known: Mutex<HashMap<PathBuf, ProjectId>>,
}

impl Quotas {
    /// Those of the volumes below `root_dir`, noted in `/etc/projects` and `/etc/projid`.
    #[must_use]
    pub fn new(root_dir: PathBuf) -> Self {
        Self::noted_in(Files::of_the_machine(), root_dir)
    }

    fn noted_in(files: Files, root_dir: PathBuf) -> Self {
        Self(Arc::new(Inner { root_dir, files, counter: OnceLock::new(), known: Mutex::default() }))
    }

    /// The project that counts the volume with the directory `path`; none for one that has to be looked through.
    #[must_use]
    pub fn project(&self, path: &Path) -> Option<ProjectId> {
        self.known().get(path).copied()
    }

    /// Has `dir`, the new directory of the emptyDir at `path`, counted from now on. One that cannot be is told of in the
    /// log, and is none the worse.
    pub(crate) fn count(&self, path: &Path, dir: &OwnedFd) {
        let Some(counter) = self.counter() else { return };
        // What was known was of a directory before this one.
        self.known().remove(path);
        match self.put(counter, path, dir) {
            Ok(Ok(project)) => {
                self.known().insert(path.to_owned(), project);
            }
            Ok(Err(why)) => {
                tracing::debug!(path = %path.display(), why, "A volume is measured by looking through it");
            }
            Err(error) => {
                let error = telemetry::chain(&error);
                tracing::warn!(path = %path.display(), error, "A volume has no project quota and is measured by looking through it");
            }
        }
    }

    fn put(
        &self,
        counter: &dyn Counter,
        path: &Path,
        dir: &OwnedFd,
    ) -> Result<Result<ProjectId, &'static str>, CountError> {
        let counted = || -> Result<BTreeSet<ProjectId>, QuotaError> {
            let used = counter.used()?;
            Ok(used.into_iter().filter(|(_, used)| *used != DiskUse::default()).map(|(id, _)| id).collect())
        };
        let files = &self.0.files;
        let seen = Seen {
            is_in: counter.project_of(dir, path)?,
            noted: files.read()?.of(path),
            is_empty: is_empty(dir).map_err(PathError::on("list", path))?,
        };
        let counts_already = if seen.noted.is_some() { counted()? } else { BTreeSet::new() };
        let project = match step(seen, &counts_already) {
            Step::Keep(project) => return Ok(Ok(project)),
            Step::Scan(why) => return Ok(Err(why)),
            Step::Put(project) => project,
            Step::New => {
                files.change(|projects| projects.remove(path))?;
                // Counted under the lock: what is in use without a note is nobody's to have either.
                let add = |projects: &mut projects::Projects| -> Result<_, QuotaError> {
                    let free = projects.free(&counted()?);
                    Ok(free.filter(|free| projects.add(path, *free)))
                };
                files.change(add)??.ok_or(CountError::Unnameable)?
            }
        };
        counter.put(dir, path, project)?;
        Ok(Ok(project))
    }

    /// Learns from disk which volumes are counted, and releases the projects of those whose directories are gone.
    pub(crate) fn settle(&self) {
        if let Err(error) = self.try_settle() {
            let error = telemetry::chain(&error);
            tracing::warn!(error, "The project quotas of volumes could not be looked at");
        }
    }

    fn try_settle(&self) -> Result<(), CountError> {
        let Some(counter) = self.counter() else { return Ok(()) };
        let pods = paths::pods_dir(&self.0.root_dir);
        let noted = self.0.files.read()?;
        let (there, gone): (Vec<_>, Vec<_>) =
            projects::volumes_in(&noted, &pods, EMPTY_DIR).into_iter().partition(|(_, dir)| !is_gone(dir));
        if !gone.is_empty() {
            for (project, dir) in &gone {
                tracing::debug!(path = %dir.display(), project = project.0, "Releasing the project of a volume that is gone");
                if let Err(error) = counter.forget(*project) {
                    tracing::debug!(error = %telemetry::chain(&error), "A limit that bounds nothing stays");
                }
            }
            // One that was made anew meanwhile keeps its own.
            let release = |projects: &mut projects::Projects| {
                for (_, dir) in gone.iter().filter(|(_, dir)| is_gone(dir)) {
                    projects.remove(dir);
                }
            };
            self.0.files.change(release)?;
        }
        let known: Vec<PathBuf> = self.known().keys().cloned().collect();
        for path in known.iter().filter(|path| is_gone(path)) {
            self.known().remove(path);
        }
        let root = match Root::open(&pods) {
            Ok(root) => root,
            Err(error) if error.is_not_found() => return Ok(()),
            Err(error) => return Err(PathError::on("open", &pods)(io::Error::other(error)).into()),
        };
        for (_, path) in there {
            let (noted, unknown) = (noted.of(&path), self.project(&path).is_none());
            let Some(below) = path.strip_prefix(&pods).ok().filter(|_| noted.is_some() && unknown) else {
                continue;
            };
            // What cannot be opened now is looked through.
            let Ok(dir) = root.open_path(below, Links::Refuse) else { continue };
            match counter.project_of(&dir, &path) {
                Ok(project) if project == noted => {
                    self.known().extend(project.map(|project| (path, project)));
                }
                Ok(_) => {}
                Err(error) => {
                    let error = telemetry::chain(&error);
                    tracing::warn!(path = %path.display(), error, "The project of a volume could not be read");
                }
            }
        }
        Ok(())
    }

    /// Who counts, if anybody does; said once.
    fn counter(&self) -> Option<&dyn Counter> {
        if let Some(counter) = self.0.counter.get() {
            return counter.as_deref();
        }
        let pods = paths::pods_dir(&self.0.root_dir);
        let counting = match std::fs::canonicalize(&pods) {
            Ok(real) => Counting::at(&real),
            // There are no volumes yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(NoProjects::Quota(PathError::on("find", &pods)(error).into())),
        };
        let counter = self.0.counter.get_or_init(|| match counting {
            Ok(counting) => {
                tracing::info!(
                    "emptyDir volumes of pods with users of their own are measured by project quotas"
                );
                Some(Box::new(counting))
            }
            Err(error) => {
                let error = telemetry::chain(&error);
                tracing::info!(error, "emptyDir volumes are measured by looking through them");
                None
            }
        });
        counter.as_deref()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PathBuf, ProjectId>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there is certainly nothing at `path`.
fn is_gone(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn is_empty(dir: &OwnedFd) -> io::Result<bool> {
    Ok(std::fs::read_dir(fd_path(dir))?.next().is_none())
}

#[cfg(test)]
mod tests;
