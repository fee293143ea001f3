//! Taking the volumes of a pod away.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use linux::PathError;
use linux::beneath::{BeneathError, Links, Root};
use linux::mount::{self, MountError};
use linux::mountinfo::MountTable;
use task::blocking::Abandoned;
use types::PodUid;

use crate::error::DriverError;
use crate::paths::{self, CONFIG_MAP, DOWNWARD_API, EMPTY_DIR, PROJECTED, PodPaths, SECRET, UnusableUid};

/// Plugins whose volumes can be taken down by unmounting and removing: what is in them is the pod's alone, or a copy.
const PLAIN: [&str; 5] = [EMPTY_DIR, DOWNWARD_API, PROJECTED, CONFIG_MAP, SECRET];

/// A pod's volumes could not be taken away. What was done stays done; trying again continues.
#[derive(Debug, thiserror::Error)]
pub enum TeardownError {
    /// A volume of a plugin that only another kubelet could have set up.
    #[error(
        "{} was set up by the plugin {plugin}, which berth does not have: unmount it with the kubelet or the driver that made it, then remove the directory",
        path.display()
    )]
    Foreign {
        /// The volume's directory.
        path: PathBuf,
        /// The plugin's name.
        plugin: String,
    },
    /// Something is mounted in the pod's directory that is no volume.
    #[error("something is mounted at {}, which is no volume of the pod: unmount it", path.display())]
    StillMounted {
        /// Where.
        path: PathBuf,
    },
    /// A volume of a driver.
    #[error(transparent)]
    Driver(DriverError),
    /// A driver has not taken its volumes away yet.
    #[error("a driver has not taken its volumes away within {0:?}: look at the driver's log")]
    DriverLate(Duration),
    /// A driver failed lately, as is said here, and is not asked again yet.
    #[error("{0}")]
    Resting(Arc<str>),
    /// Something cannot be unmounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// Something cannot be removed.
    #[error(transparent)]
    Beneath(#[from] BeneathError),
    /// Something cannot be looked at.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The pod's UID.
    #[error(transparent)]
    Uid(#[from] UnusableUid),
    /// The kernel does not answer.
    #[error("a file system in the pod's directory does not answer: check its mounts")]
    Hung(#[from] Abandoned),
    /// An earlier attempt still hangs.
    #[error(
        "an earlier attempt still waits for a file system in the pod's directory that does not answer: check its mounts"
    )]
    StillHung,
}

/// A pod's volumes could not be taken away, and when to try again.
#[derive(Debug, thiserror::Error)]
#[error("volumes of the pod could not be taken down")]
pub struct NotTornDown {
    /// Why.
    #[source]
    pub error: TeardownError,
    /// When to try again.
    pub again_in: Duration,
}

/// Unmounts and removes the volumes of the pod `uid`. One without any is fine.
pub(crate) fn volumes(root_dir: &Path, uid: &PodUid) -> Result<(), TeardownError> {
    let Some((pods, dir)) = find(root_dir, uid)? else { return Ok(()) };
    // What is mounted there is nobody's volume, and nothing in it is looked at.
    let root = match pods.sub_unmounted(Path::new(uid.as_str())) {
        Err(e) if e.is_not_found() => return Ok(()),
        root => root?,
    };
    refuse_foreign(&root, &dir)?;
    unmount_below(&dir.join("volume-subpaths"))?;
    unmount_below(&dir.join("volumes"))?;
    // The marks first: a volume without its mark is set up anew.
    for part in ["plugins", "volume-subpaths", "volumes"] {
        root.remove_tree(Path::new(part))?;
    }
    Ok(())
}

/// Unmounts the parts of volumes that containers of the pod `uid` had: their drivers could not take the volumes away.
pub(crate) fn subpaths(root_dir: &Path, uid: &PodUid) -> Result<(), TeardownError> {
    match find(root_dir, uid)? {
        Some((_, dir)) => unmount_below(&dir.join("volume-subpaths")),
        None => Ok(()),
    }
}

fn unmount_below(path: &Path) -> Result<(), TeardownError> {
    for mounted in MountTable::read()?.below(path) {
        match mount::unmount(&mounted.point) {
            // It went together with another one.
            Err(e) if e.is_gone() => {}
            result => result?,
        }
    }
    Ok(())
}

/// Removes everything of the pod `uid`, its volumes first.
pub(crate) fn pod_dir(root_dir: &Path, uid: &PodUid) -> Result<(), TeardownError> {
    volumes(root_dir, uid)?;
    let Some((pods, dir)) = find(root_dir, uid)? else { return Ok(()) };
    if let Some(mounted) = MountTable::read()?.below(&dir).first() {
        return Err(TeardownError::StillMounted { path: mounted.point.clone() });
    }
    Ok(pods.remove_tree(Path::new(uid.as_str()))?)
}

/// The pods whose directories are there and that are not among `known`.
pub(crate) fn orphans(root_dir: &Path, known: &HashSet<PodUid>) -> Result<Vec<PodUid>, TeardownError> {
    let pods = paths::pods_dir(root_dir);
    let entries = match std::fs::read_dir(&pods) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(PathError::on("list", &pods)(e).into()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(PathError::on("list", &pods))?;
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        match entry.file_name().into_string() {
            Ok(name) if is_dir => found.push(PodUid::from(name)),
            Ok(_) => {}
            Err(name) => tracing::debug!(?name, "not the directory of a pod: left alone"),
        }
    }
    found.retain(|uid| !known.contains(uid));
    found.sort_unstable();
    Ok(found)
}

/// The directory of pods, and that of the pod as the mount table has it. `None`: there is no directory of pods.
fn find(root_dir: &Path, uid: &PodUid) -> Result<Option<(Root, PathBuf)>, TeardownError> {
    PodPaths::new(root_dir, uid)?;
    let pods = paths::pods_dir(root_dir);
    match std::fs::canonicalize(&pods) {
        Ok(real) => Ok(Some((Root::open(&real)?, real.join(uid.as_str())))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(PathError::on("find", &pods)(e).into()),
    }
}

/// Refuses when a plugin that we do not have left a volume: its driver may have more to undo than a mount.
fn refuse_foreign(root: &Root, dir: &Path) -> Result<(), TeardownError> {
    for part in ["volumes", "volumeDevices"] {
        let part = Path::new(part);
        // Links are not followed: `stat` looks at the entry itself.
        for plugin in list(root, part)? {
            if PLAIN.contains(&plugin.as_str()) {
                continue;
            }
            if let Some(volume) = list(root, &part.join(&plugin))?.first() {
                return Err(TeardownError::Foreign {
                    path: dir.join(part).join(&plugin).join(volume),
                    plugin,
                });
            }
        }
    }
    Ok(())
}

/// The names in a directory of the pod; none when it is not there or no directory.
fn list(root: &Root, path: &Path) -> Result<Vec<String>, TeardownError> {
    let dir = match root.sub(path, Links::Refuse) {
        Ok(dir) => dir,
        Err(e) if e.is_not_found() || e.is_not_a_directory() => return Ok(Vec::new()),
        Err(e) => return Err(e.into()),
    };
    let failed = || PathError::on("list", dir.path());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(linux::beneath::fd_path(&dir)).map_err(failed())? {
        names.push(entry.map_err(failed())?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
