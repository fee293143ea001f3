//! Removing a tree that somebody hostile may have made, and may still be changing.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{BeneathError, DIRECTORY, is_mount_root};

/// Directories open at once. A deeper tree is taken apart: what lies deeper is moved up first.
const MAX_DEPTH: usize = 48;

/// How often a directory is emptied again because something new appeared in it.
const MAX_ROUNDS: usize = 16;

/// Removes `name` in `parent`; `shown` is its path, for messages.
pub(super) fn tree(parent: BorrowedFd<'_>, name: &OsStr, shown: &Path) -> Result<(), BeneathError> {
    let device = rustix::fs::fstat(parent).map_err(|e| failed("stat", shown, e))?.st_dev;
    Removal { device, top: None, moved: 0 }.entry(parent, name, shown, 0)
}

struct Removal {
    /// Device of the directory that holds the tree.
    device: u64,
    /// The tree's own root, into which directories that lie too deep are moved.
    top: Option<OwnedFd>,
    moved: u64,
}

impl Removal {
    fn entry(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        shown: &Path,
        depth: usize,
    ) -> Result<(), BeneathError> {
        match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::BUSY) => return Err(BeneathError::MountPoint { path: shown.to_owned() }),
            // Linux says EISDIR, POSIX would allow EPERM. The latter may also be a file that must not be removed.
            Err(e @ Errno::PERM) if !is_directory(parent, name) => return Err(failed("remove", shown, e)),
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(e) => return Err(failed("remove", shown, e)),
        }
        if depth >= MAX_DEPTH
            && let Some(top) = &self.top
        {
            let top = top.as_fd();
            return move_aside(parent, name, top, &mut self.moved).map_err(|e| match e {
                Errno::BUSY | Errno::XDEV => BeneathError::MountPoint { path: shown.to_owned() },
                e => failed("move", shown, e),
            });
        }
        let Some(dir) = self.open(parent, name, shown)? else { return Ok(()) };
        if depth == 0 {
            self.top = Some(dir.try_clone().map_err(|source| BeneathError::Io {
                doing: "open directory",
                path: shown.to_owned(),
                source,
            })?);
        }
        let mut rounds = 0;
        loop {
            let moved_before = self.moved;
            self.content(&dir, shown, depth)?;
            match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                // Something was put in meanwhile: by the moves above, which come to an end, or by somebody, who may not.
                Err(Errno::NOTEMPTY | Errno::EXIST) if self.moved > moved_before || rounds < MAX_ROUNDS => {
                    rounds += 1;
                }
                Err(Errno::BUSY) => return Err(BeneathError::MountPoint { path: shown.to_owned() }),
                Err(e) => return Err(failed("remove directory", shown, e)),
            }
        }
    }

    fn content(&mut self, dir: &OwnedFd, shown: &Path, depth: usize) -> Result<(), BeneathError> {
        let entries = Dir::read_from(dir).map_err(|e| failed("list", shown, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| failed("list", shown, e))?;
            if let Some(name) = real_name(entry.file_name()) {
                // The path only grows for messages, and with depth bounded so is it.
                self.entry(dir.as_fd(), name, &shown.join(name), depth + 1)?;
            }
        }
        Ok(())
    }

    /// Opens the directory `name`, unless something is mounted on it. `None`: it is gone.
    fn open(
        &self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        shown: &Path,
    ) -> Result<Option<OwnedFd>, BeneathError> {
        let flags = DIRECTORY | OFlags::NOFOLLOW;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let opened = match rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve) {
            Err(Errno::NOSYS | Errno::AGAIN) => {
                rustix::fs::openat(parent, name, flags, Mode::empty()).and_then(|dir| self.unmounted(dir))
            }
            opened => opened,
        };
        match opened {
            Ok(dir) => Ok(Some(dir)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::XDEV) => Err(BeneathError::MountPoint { path: shown.to_owned() }),
            Err(e) => Err(failed("open directory", shown, e)),
        }
    }

    /// What `RESOLVE_NO_XDEV` sees to, for kernels without it: another device, a mount root by the kernel's word, or a
    /// mount point by the mount table (which is what tells a bind mount of the same file system).
    fn unmounted(&self, dir: OwnedFd) -> Result<OwnedFd, Errno> {
        if rustix::fs::fstat(&dir)?.st_dev != self.device {
            return Err(Errno::XDEV);
        }
        match is_mount_root(&dir) {
            Ok(false) => Ok(dir),
            Ok(true) => Err(Errno::XDEV),
            Err(e) => Err(Errno::from_io_error(&e).unwrap_or(Errno::IO)),
        }
    }
}

/// Moves the directory `name` up into `top`, under a name that is free there.
fn move_aside(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    top: BorrowedFd<'_>,
    moved: &mut u64,
) -> Result<(), Errno> {
    let mut tries = 0;
    loop {
        *moved += 1;
        match rustix::fs::renameat(parent, name, top, format!("..removing-{moved}")) {
            // Left there by an earlier attempt, or put there.
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) if tries < 1000 => tries += 1,
            result => return result,
        }
    }
}

fn is_directory(parent: BorrowedFd<'_>, name: &OsStr) -> bool {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn real_name(name: &CStr) -> Option<&OsStr> {
    let bytes = name.to_bytes();
    (bytes != b"." && bytes != b"..").then(|| OsStr::from_bytes(bytes))
}

fn failed(doing: &'static str, path: &Path, errno: Errno) -> BeneathError {
    BeneathError::Io { doing, path: path.to_owned(), source: errno.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount;

    struct Unmount<'a>(&'a Path);

    impl Drop for Unmount<'_> {
        fn drop(&mut self) {
            mount::unmount_lazily(self.0).unwrap();
        }
    }

    #[test]
    fn real_old_kernels_find_mounts_too() {
        let dir = tempfile::tempdir().unwrap();
        let [plain, bound, memory] = ["plain", "bound", "memory"].map(|name| dir.path().join(name));
        for path in [&plain, &bound, &memory] {
            std::fs::create_dir(path).unwrap();
        }
        if let Err(e) = mount::bind(&plain, &bound) {
            println!("skipped: {e}");
            return;
        }
        let _bound = Unmount(&bound);
        mount::tmpfs(&memory, mount::Tmpfs::default()).unwrap();
        let _memory = Unmount(&memory);
        let device = rustix::fs::stat(dir.path()).unwrap().st_dev;
        let removal = Removal { device, top: None, moved: 0 };
        let look = |path: &Path| {
            let opened = rustix::fs::open(path, DIRECTORY, Mode::empty()).unwrap();
            removal.unmounted(opened).map(|_| ())
        };
        assert_eq!(look(&plain), Ok(()));
        assert_eq!(look(&bound), Err(Errno::XDEV), "the same device, told by the mount");
        assert_eq!(look(&memory), Err(Errno::XDEV));
    }
}
