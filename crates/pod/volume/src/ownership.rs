//! Giving a volume to the pod's group (`securityContext.fsGroup`).

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use linux::PathError;
use linux::beneath::fd_path;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags};
use rustix::io::Errno;
use types::{Pod, pod};

const READ_WRITE: u32 = 0o660;
const READ_ONLY: u32 = 0o440;
const SEARCH: u32 = 0o110;
const SET_GID: u32 = 0o2000;

/// What has a name, be it a link, and not what is in it.
const ITSELF: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// As many directories are open at once at most.
const DEPTH: usize = 1000;
/// So often a volume is gone through again in which things move.
const WALKS: usize = 3;

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

/// The root comes last: that it is right means that all of it is. Containers may be changing what is there: nothing is
/// looked up twice, and no link is followed. What goes away meanwhile may only have moved, so it is looked for again.
fn give_tree(dir: &Path, group: u32, mask: u32, progress: &Progress) -> Result<(), PathError> {
    let root = rustix::fs::open(dir, ITSELF, Mode::empty()).map_err(PathError::on("open", dir))?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&root).map_err(PathError::on("stat", dir))?.st_mode);
    let mut walks = 0;
    while kind == FileType::Directory
        && give_below(root.as_fd(), dir, group, mask, progress)?
        && walks < WALKS
    {
        walks += 1;
    }
    give_one(root.as_fd(), dir, group, mask, progress).map(drop)
}

/// Gives all that is in `root`, whose path is `shown`. Returns whether something went away meanwhile.
fn give_below(
    root: BorrowedFd<'_>,
    shown: &Path,
    group: u32,
    mask: u32,
    progress: &Progress,
) -> Result<bool, PathError> {
    let open = |dir: BorrowedFd<'_>, shown: &Path| {
        let opened = rustix::fs::openat(
            dir,
            c".",
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        opened.and_then(Dir::new).map_err(PathError::on("list", shown))
    };
    let mut is_missing = false;
    let mut walked = vec![(open(root, shown)?, shown.to_owned())];
    while let Some((dir, shown)) = walked.last_mut() {
        let entry = match dir.read() {
            // Also one that was removed since it was opened.
            None | Some(Err(Errno::NOENT)) => {
                walked.pop();
                continue;
            }
            Some(entry) => entry.map_err(PathError::on("list", shown))?,
        };
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let shown = shown.join(name);
        let above = dir.fd().map_err(PathError::on("list", &shown))?;
        let file = match rustix::fs::openat(above, name, ITSELF, Mode::empty()) {
            Err(Errno::NOENT) => {
                is_missing = true;
                continue;
            }
            file => file.map_err(PathError::on("open", &shown))?,
        };
        if give_one(file.as_fd(), &shown, group, mask, progress)? {
            if walked.len() == DEPTH {
                let source = io::Error::other(format!("it is deeper than {DEPTH} directories"));
                return Err(PathError { doing: "give all of", path: shown, source });
            }
            walked.push((open(file.as_fd(), &shown)?, shown));
        }
    }
    Ok(is_missing)
}

/// Returns whether it is a directory. `shown` is its path, for messages.
fn give_one(
    file: BorrowedFd<'_>,
    shown: &Path,
    group: u32,
    mask: u32,
    progress: &Progress,
) -> Result<bool, PathError> {
    let mode = rustix::fs::fstat(file).map_err(PathError::on("stat", shown))?.st_mode;
    let kind = FileType::from_raw_mode(mode);
    progress.0.fetch_add(1, Relaxed);
    rustix::fs::chownat(file, c"", None, Some(Gid::from_raw(group)), AtFlags::EMPTY_PATH)
        .map_err(PathError::on("chown", shown))?;
    if kind == FileType::Symlink {
        return Ok(false);
    }
    let mask = if kind == FileType::Directory { mask | SEARCH | SET_GID } else { mask };
    let permissions = Permissions::from_mode(mode & 0o7777 | mask);
    std::fs::set_permissions(fd_path(file), permissions).map_err(PathError::on("chmod", shown))?;
    Ok(kind == FileType::Directory)
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
    fn a_file_alone_and_one_that_lies_too_deep() {
        if !crate::testing::is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        give(&file, 77, false, ChangePolicy::Always).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().gid(), 77);
        let deep = dir.path().join("deep");
        std::fs::create_dir(&deep).unwrap();
        let mut at = rustix::fs::open(&deep, OFlags::PATH, Mode::empty()).unwrap();
        for _ in 0..DEPTH {
            rustix::fs::mkdirat(&at, c"d", Mode::RWXU).unwrap();
            at = rustix::fs::openat(&at, c"d", OFlags::PATH, Mode::empty()).unwrap();
        }
        let error = give(&deep, 77, false, ChangePolicy::Always).unwrap_err();
        assert!(telemetry::chain(&error).contains("deeper than 1000 directories"), "{error}");
        let of = |path: &Path| std::fs::metadata(path).unwrap().gid();
        assert_eq!((of(&deep.join("d")), of(&deep)), (77, 0), "the root comes last");
    }

    /// A container that has the volume already puts links where directories and files were, while it is gone through.
    #[test]
    fn no_link_is_followed_that_comes_meanwhile() {
        if !crate::testing::is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let [volume, outside] = ["volume", "outside"].map(|name| dir.path().join(name));
        for name in ["volume/dir", "outside"] {
            std::fs::create_dir_all(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("file"), "").unwrap();
        }
        let canary = outside.join("file");
        let of = |path: &Path| std::fs::symlink_metadata(path).map(|meta| (meta.gid(), meta.mode())).unwrap();
        let before = (of(&outside), of(&canary));
        std::fs::write(volume.join("file"), "").unwrap();
        std::os::unix::fs::symlink(&outside, volume.join("dir-link")).unwrap();
        std::os::unix::fs::symlink(&canary, volume.join("file-link")).unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    for name in ["dir", "file"] {
                        let [one, other] = ["", "-link"].map(|end| volume.join(format!("{name}{end}")));
                        let (here, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
                        rustix::fs::renameat_with(here, &one, here, &other, flags).unwrap();
                    }
                }
            });
            for _ in 0..2000 {
                // One that is refused says so, and is tried again.
                let _ = give(&volume, 77, false, ChangePolicy::Always);
            }
            done.store(true, Relaxed);
        });
        assert_eq!((of(&outside), of(&canary)), before);
        give(&volume, 77, false, ChangePolicy::Always).unwrap();
        assert_eq!((of(&volume).0, (of(&outside), of(&canary))), (77, before));
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
