//! Giving a volume to the pod's group (`securityContext.fsGroup`).

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use linux::PathError;
use types::{Pod, pod};

const READ_WRITE: u32 = 0o660;
const READ_ONLY: u32 = 0o440;
const SEARCH: u32 = 0o110;
const SET_GID: u32 = 0o2000;

/// When the files of a volume are gone through (`fsGroupChangePolicy`). Has no effect on emptyDir, downwardAPI and
/// projected volumes, which are always gone through, once: they are new.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChangePolicy {
    /// Each time.
    Always,
    /// Only if the volume's root does not look right already.
    OnRootMismatch,
}

/// How many files have been given to a group. Clones count together.
#[derive(Clone, Default, Debug)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// How many files they are so far.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The group that the pod's volumes are given to.
#[must_use]
pub fn fs_group(pod: &Pod) -> Option<u32> {
    let group = pod::spec(pod).security_context.as_ref()?.fs_group?;
    u32::try_from(group).ok()
}

/// Gives everything in `dir` to `group`, readable and (unless `read_only`) writable by it; what is made later in its
/// directories will be the group's too. Links are given, not followed.
///
/// # Errors
/// If a file cannot be changed. Those before it are; doing it again continues.
pub fn give(dir: &Path, group: u32, read_only: bool, policy: ChangePolicy) -> Result<(), PathError> {
    give_counting(dir, group, read_only, policy, &Progress::default())
}

/// As [`give`], and says in `progress` how far it has come.
///
/// # Errors
/// As [`give`].
pub fn give_counting(
    dir: &Path,
    group: u32,
    read_only: bool,
    policy: ChangePolicy,
    progress: &Progress,
) -> Result<(), PathError> {
    let mask = if read_only { READ_ONLY } else { READ_WRITE };
    if policy == ChangePolicy::OnRootMismatch {
        let meta = std::fs::symlink_metadata(dir).map_err(PathError::on("stat", dir))?;
        let wanted = mask | SEARCH | SET_GID;
        if meta.gid() == group && meta.permissions().mode() & wanted == wanted {
            return Ok(());
        }
    }
    give_tree(dir, group, mask, progress)
}

/// The root comes last: that it is right means that all of it is.
fn give_tree(path: &Path, group: u32, mask: u32, progress: &Progress) -> Result<(), PathError> {
    let meta = std::fs::symlink_metadata(path).map_err(PathError::on("stat", path))?;
    if meta.is_dir() {
        for entry in std::fs::read_dir(path).map_err(PathError::on("list", path))? {
            give_tree(&entry.map_err(PathError::on("list", path))?.path(), group, mask, progress)?;
        }
    }
    progress.0.fetch_add(1, Relaxed);
    linux::fs::lchown(path, None, Some(group))?;
    if meta.is_symlink() {
        return Ok(());
    }
    let mask = if meta.is_dir() { mask | SEARCH | SET_GID } else { mask };
    linux::fs::chmod(path, meta.permissions().mode() & 0o7777 | mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_policy() {
        if !crate::testing::is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (sub, file) = (dir.path().join("sub"), dir.path().join("sub/file"));
        linux::fs::create_dir(&sub, 0o700).unwrap();
        std::fs::write(&file, "").unwrap();
        linux::fs::chmod(&file, 0o600).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", sub.join("link")).unwrap();
        let of = |path: &Path| {
            let meta = std::fs::symlink_metadata(path).unwrap();
            (meta.gid(), meta.permissions().mode() & 0o7777)
        };
        let passwd = of(Path::new("/etc/passwd"));

        let progress = Progress::default();
        give_counting(dir.path(), 77, false, ChangePolicy::OnRootMismatch, &progress).unwrap();
        assert_eq!(progress.files(), 4);
        assert_eq!((of(&sub), of(&file)), ((77, 0o2770), (77, 0o660)));
        assert_eq!(of(&sub.join("link")).0, 77);
        assert_eq!(of(Path::new("/etc/passwd")), passwd);

        std::os::unix::fs::lchown(&file, None, Some(0)).unwrap();
        give(dir.path(), 77, false, ChangePolicy::OnRootMismatch).unwrap();
        assert_eq!(of(&file).0, 0, "the root is right, so nothing is gone through");
        give(dir.path(), 77, true, ChangePolicy::Always).unwrap();
        assert_eq!(of(&file).0, 77);
    }

    #[test]
    fn read_only_volumes_are_not_made_writable() {
        if !crate::testing::is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        linux::fs::chmod(dir.path(), 0o700).unwrap();
        give(dir.path(), 77, true, ChangePolicy::Always).unwrap();
        assert_eq!(std::fs::metadata(dir.path()).unwrap().permissions().mode() & 0o7777, 0o2750);
    }
}
