//! What file systems count by project: a directory that is given a number, and all that is made in it, with its room
//! and its inodes (ext4, XFS; KEP-1029 "Quotas for ephemeral storage").
//!
//! By the commands xfs_quota(8), which works on both, and lsattr(1): rustix has neither quotactl(2) nor the ioctls of a
//! file's project, and calling them otherwise takes `unsafe`. A node on which the Go kubelet has project quotas has both
//! commands. Each call blocks for as long as the file system does.

mod output;
mod tool;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::PathError;
use crate::beneath::fd_path;
use crate::diskuse::DiskUse;
use crate::mountinfo::{Mount, MountTable};
use tool::XfsQuota;

/// The limit of a project that is to be counted and not bounded, in bytes: as much as ext4 can have.
const UNBOUNDED: u64 = (1 << 58) - 1;

/// A number that a file system counts by; 0 is what belongs to no project.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ProjectId(
    /// The number.
    pub u32,
);

/// Why a file system does not count by project, or cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum NoProjects {
    /// It is of another type.
    #[error("{} is on {fs_type}: only ext4 and xfs have project quotas", path.display())]
    Type {
        /// What was asked about.
        path: PathBuf,
        /// The type.
        fs_type: String,
    },
    /// It could, and was mounted without.
    #[error("the file system at {} does not count by project: mount it with the option prjquota", point.display())]
    Off {
        /// Where it is mounted.
        point: PathBuf,
    },
    /// It cannot be asked.
    #[error(transparent)]
    Quota(#[from] QuotaError),
}

/// Something about projects could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum QuotaError {
    /// A command is not installed.
    #[error("there is no {command}: install {package}")]
    Missing {
        /// The command.
        command: &'static str,
        /// Where Debian has it.
        package: &'static str,
    },
    /// A command failed.
    #[error("{command} failed at {}: {said}", path.display())]
    Failed {
        /// The command.
        command: &'static str,
        /// The mount point or the directory.
        path: PathBuf,
        /// What it said, or how it ended.
        said: String,
    },
    /// The directory did not get its project, and nothing said why.
    #[error("{} is not in project {} after it was put there", path.display(), project.0)]
    NotPut {
        /// The directory.
        path: PathBuf,
        /// The project.
        project: ProjectId,
    },
    /// Something could not be read.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// A file system that counts by project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counting {
    tool: XfsQuota,
}

impl Counting {
    /// The file system that holds the directory `path`, which must be absolute and free of links, if it counts by project.
    ///
    /// # Errors
    /// Why it does not, or what is missing to ask it.
    pub fn at(path: &Path) -> Result<Self, NoProjects> {
        let counting = Self::held(path, &MountTable::read().map_err(QuotaError::from)?)?;
        let state = counting.tool.run(&["state -p"])?;
        if !output::is_counting(&state) {
            return Err(NoProjects::Off { point: counting.tool.point().to_owned() });
        }
        // The other command is needed too.
        let dir = File::open(path).map_err(PathError::on("open", path)).map_err(QuotaError::from)?;
        project_of(dir, path)?;
        Ok(counting)
    }

    /// The file system that holds `path` according to `mounts`, if it is of a type that can count by project. Whether it
    /// does is not asked.
    fn held(path: &Path, mounts: &MountTable) -> Result<Self, NoProjects> {
        let mount = mounts.holding(path);
        match mount {
            Some(mount) if has_projects(mount) => Ok(Self { tool: XfsQuota::on(mount) }),
            other => {
                let fs_type = other.map(|mount| mount.fs_type.to_string_lossy().into_owned());
                let fs_type = fs_type.unwrap_or_else(|| "an unknown file system".to_owned());
                Err(NoProjects::Type { path: path.to_owned(), fs_type })
            }
        }
    }

    /// What each project of it takes. Projects that take nothing may be among them, or not.
    ///
    /// # Errors
    /// If xfs_quota(8) fails.
    pub fn used(&self) -> Result<BTreeMap<ProjectId, DiskUse>, QuotaError> {
        Ok(output::report(&self.tool.run(&["report -p -n -N -b -i"])?))
    }

    /// Puts `dir`, an open directory of the file system, and what is made in it from now on into `project`. What is in
    /// it already stays where it is. `path` is what it is called in errors.
    ///
    /// # Errors
    /// If it is not there afterwards.
    pub fn put(&self, dir: impl AsFd, path: &Path, project: ProjectId) -> Result<(), QuotaError> {
        let limit = format!("limit -p bhard={UNBOUNDED} bsoft={UNBOUNDED} {}", project.0);
        // The command's own directory is what it works on: no name that somebody may have changed.
        let setup = format!("project -s -d 0 -p . {}", project.0);
        self.tool.run_in(&fd_path(&dir), &[&limit, &setup])?;
        if project_of(dir, path)? == Some(project) {
            Ok(())
        } else {
            Err(QuotaError::NotPut { path: path.to_owned(), project })
        }
    }

    /// Forgets what was said about `project`, in which nothing is any more.
    ///
    /// # Errors
    /// If xfs_quota(8) fails.
    pub fn forget(&self, project: ProjectId) -> Result<(), QuotaError> {
        self.tool.run(&[&format!("limit -p bhard=0 bsoft=0 {}", project.0)]).map(drop)
    }
}

/// What each project takes of the file system that holds `path`, as [`Counting::used`].
///
/// # Errors
/// If it is of a type without projects, or xfs_quota(8) fails.
pub fn used_at(path: &Path) -> Result<BTreeMap<ProjectId, DiskUse>, NoProjects> {
    let mounts = MountTable::read().map_err(QuotaError::from)?;
    Ok(Counting::held(path, &mounts)?.used()?)
}

/// The project of `dir`, an open directory, if what is made in it belongs to that project too. `path` is what it is called
/// in errors.
///
/// # Errors
/// If lsattr(1) fails, as it does where the file system knows no projects.
pub fn project_of(dir: impl AsFd, path: &Path) -> Result<Option<ProjectId>, QuotaError> {
    let said = tool::lsattr(&fd_path(&dir), path)?;
    output::attributes(&said).ok_or_else(|| QuotaError::Failed {
        command: tool::LSATTR,
        path: path.to_owned(),
        said: format!("it said {:?}", String::from_utf8_lossy(&said)),
    })
}

fn has_projects(mount: &Mount) -> bool {
    matches!(mount.fs_type.as_encoded_bytes(), b"ext4" | b"xfs")
}

/// A command that could not be started.
fn not_started(
    command: &'static str,
    package: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> QuotaError {
    move |error| match error.kind() {
        io::ErrorKind::NotFound => QuotaError::Missing { command, package },
        _ => QuotaError::Failed { command, path: path.to_owned(), said: error.to_string() },
    }
}
