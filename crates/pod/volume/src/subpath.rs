//! Parts of volumes (`subPath`): found without leaving the volume, and held by a bind mount, so that whatever the
//! container does to its volume later leads nowhere else.

use std::fs::Metadata;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use linux::PathError;
use linux::beneath::{BeneathError, Links, Root, fd_path, is_mount_root};
use linux::mount::{self, MountError};
use rustix::fs::{FileType, Stat};
use task::blocking::Abandoned;

use crate::paths::{DIR_MODE, PodPaths, UnusableUid};

const FILE_MODE: u32 = 0o640;

/// A part of a volume to be mounted into a container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SubPath {
    /// The volume's name.
    pub volume: String,
    /// Where the volume is on the node.
    pub volume_path: PathBuf,
    /// The container's name.
    pub container: String,
    /// The index of the mount among the container's `volumeMounts`.
    pub index: usize,
    /// `subPath`, or `subPathExpr` with its variables replaced.
    pub path: String,
}

/// A part of a volume could not be mounted.
#[derive(Debug, thiserror::Error)]
#[error("subPath {path:?} of volume {volume:?} for container {container:?}")]
pub struct SubPathError {
    /// The volume's name.
    pub volume: String,
    /// The container's name.
    pub container: String,
    /// `subPath`.
    pub path: String,
    /// What is wrong.
    #[source]
    pub problem: SubPathProblem,
}

/// What is wrong with a part of a volume.
#[derive(Debug, thiserror::Error)]
pub enum SubPathProblem {
    /// A path cannot be used.
    #[error(transparent)]
    Beneath(#[from] BeneathError),
    /// A file cannot be looked at.
    #[error(transparent)]
    Path(#[from] PathError),
    /// It cannot be mounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// The pod's UID.
    #[error(transparent)]
    Uid(#[from] UnusableUid),
    /// The kernel does not answer.
    #[error("a file system does not answer: check the volume and the mounts above it")]
    Hung(#[from] Abandoned),
    /// An earlier attempt still hangs.
    #[error(
        "an earlier attempt still waits for a file system that does not answer: check the volume and the mounts above it"
    )]
    StillHung,
}

/// Mounts the part where the runtime can take it from, and returns that place. One that is mounted already is kept, if
/// it is still the same file.
///
/// # Errors
/// If the path leaves the volume, or the kernel refuses.
pub fn mount(paths: &PodPaths, part: &SubPath) -> Result<PathBuf, SubPathProblem> {
    let volume = Root::open(&part.volume_path)?;
    let path = Path::new(&part.path);
    let source = match volume.open_path(path, Links::Beneath) {
        Err(e) if e.is_not_found() => create(&volume, path)?,
        source => source?,
    };
    let source_stat = stat(&source, &part.volume_path.join(path))?;

    let point = paths.subpath(&part.volume, &part.container, part.index);
    let root = Root::open(paths.dir())?;
    // Below the pod's directory; the same segments as in `point`.
    let parent = Path::new("volume-subpaths").join(&part.volume).join(&part.container);
    let relative = parent.join(part.index.to_string());
    root.create_dir_all(&parent, DIR_MODE)?;
    loop {
        let target = match root.open_path(&relative, Links::Refuse) {
            Ok(target) => target,
            Err(e) if e.is_not_found() => {
                if is_dir(&source_stat) {
                    root.create_dir_all(&relative, DIR_MODE)?;
                } else {
                    root.create_file(&relative, FILE_MODE)?;
                }
                root.open_path(&relative, Links::Refuse)?
            }
            Err(e) => return Err(e.into()),
        };
        let target_stat = stat(&target, &point)?;
        if is_mount_root(&target).map_err(PathError::on("look for a mount at", &point))? {
            if (target_stat.st_dev, target_stat.st_ino) == (source_stat.st_dev, source_stat.st_ino) {
                return Ok(point);
            }
            drop(target); // An open file would keep the mount busy.
            mount::unmount(&point)?;
        } else if is_dir(&target_stat) == is_dir(&source_stat) {
            let bound = mount::bind(&fd_path(&source), &fd_path(&target));
            bound.map_err(|error| MountError { path: point.clone(), ..error })?;
            return Ok(point);
        } else {
            drop(target);
            root.remove_tree(&relative)?;
        }
    }
}

/// Makes the directories of `path` that are missing, with the mode of the volume.
fn create(volume: &Root, path: &Path) -> Result<OwnedFd, SubPathProblem> {
    let root: Metadata = std::fs::metadata(fd_path(volume)).map_err(PathError::on("stat", volume.path()))?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&root.permissions()) & 0o7777;
    // What is there may be reached over links; what is made is not.
    for there in path.ancestors().skip(1).filter(|there| !there.as_os_str().is_empty()) {
        match volume.sub(there, Links::Beneath) {
            Ok(dir) => {
                let missing = path.strip_prefix(there).unwrap_or(path);
                return Ok(dir.create_dir_all(missing, mode)?);
            }
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(volume.create_dir_all(path, mode)?)
}

fn stat(fd: &OwnedFd, path: &Path) -> Result<Stat, PathError> {
    rustix::fs::fstat(fd).map_err(PathError::on("stat", path))
}

fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

#[cfg(test)]
mod tests;
