//! Opening and making files beneath a directory, where someone else (a container) may put links in the way.
//!
//! Names are resolved by the kernel with `openat2` (Linux 5.6), or one segment at a time on older ones. Nothing here
//! ever looks up a path that a link could lead out of the root.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;

use crate::mountinfo::MountTable;

mod remove;

/// How links inside the root are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Links {
    /// Followed as long as they stay beneath the root. Absolute links are refused.
    Beneath,
    /// Refused.
    Refuse,
}

/// A call beneath a root failed.
#[derive(Debug, thiserror::Error)]
pub enum BeneathError {
    /// The path is absolute, empty, or has `..` in it.
    #[error("the path {path:?} has to be relative and free of `..`")]
    NotRelative {
        /// The path.
        path: PathBuf,
    },
    /// A link stood where none may be, or led out of the root.
    #[error(
        "{} holds a symbolic link that must not be followed: remove the link, or use the path that it points to",
        root.join(path).display()
    )]
    Link {
        /// The root.
        root: PathBuf,
        /// The path beneath it.
        path: PathBuf,
    },
    /// Something is mounted inside a tree that was to be removed.
    #[error("{} is a mount point and its content is kept: unmount it first", path.display())]
    MountPoint {
        /// Where.
        path: PathBuf,
    },
    /// A file is larger than the caller allows.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that was allowed.
        limit: u64,
    },
    /// The kernel refused.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The path, with its root.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
}

impl BeneathError {
    /// Whether there is nothing at the path.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether what is there cannot be what was to be read, whoever put it there: a link, no regular file, or too large.
    #[must_use]
    pub fn is_of_another_kind(&self) -> bool {
        match self {
            Self::Link { .. } | Self::TooLarge { .. } => true,
            Self::Io { source, .. } => {
                // A socket or a device without a driver cannot be opened at all.
                source.kind() == io::ErrorKind::InvalidInput
                    || matches!(Errno::from_io_error(source), Some(Errno::NXIO | Errno::NODEV))
            }
            _ => false,
        }
    }

    /// Whether something else is where a directory was expected.
    #[must_use]
    pub fn is_not_a_directory(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotADirectory)
    }
}

/// A directory beneath which names are looked up. It stays the same directory when its path is renamed or replaced.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
    path: PathBuf,
}

/// As many links as the kernel follows in one path.
const MAX_LINKS: usize = 40;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Root {
    /// The directory at `path`. Links in `path` itself are followed: it is the caller's, and trusted.
    ///
    /// # Errors
    /// If it is no directory or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, BeneathError> {
        let fd = rustix::fs::open(path, DIRECTORY, Mode::empty()).map_err(|e| BeneathError::Io {
            doing: "open directory",
            path: path.to_owned(),
            source: e.into(),
        })?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// The path it was opened by, for messages.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory `path` beneath this one, as a root of its own.
    ///
    /// # Errors
    /// If it is missing, no directory, or a link is in the way.
    pub fn sub(&self, path: &Path, links: Links) -> Result<Self, BeneathError> {
        let fd = self.open_with(path, DIRECTORY, links)?;
        Ok(Self { fd, path: self.path.join(path) })
    }

    /// The directory `path` beneath this one, as a root of its own, if nothing on the way nor the directory itself is a
    /// mount point: what is in it is on the file system of this one.
    ///
    /// # Errors
    /// [`BeneathError::MountPoint`] if something is mounted there; as [`Root::sub`], with all links refused.
    pub fn sub_unmounted(&self, path: &Path) -> Result<Self, BeneathError> {
        let failed = |e| self.io("open directory", path, e);
        let (mut fd, mut shown) = (self.fd.try_clone().map_err(failed)?, self.path.clone());
        for name in segments(path)? {
            let below = rustix::fs::openat(&fd, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
                .map_err(|e| self.refused_segment(&fd, name, path, e))?;
            (fd, shown) = (below, shown.join(name));
            if is_mount_root(&fd).map_err(failed)? {
                return Err(BeneathError::MountPoint { path: shown });
            }
        }
        Ok(Self { fd, path: self.path.join(path) })
    }

    /// Opens what is at `path` without access to its content (`O_PATH`): to be used with [`fd_path`], for example as
    /// the source or the target of a mount. Sockets and devices can be opened so too.
    ///
    /// # Errors
    /// If it is missing, or a link is in the way.
    pub fn open_path(&self, path: &Path, links: Links) -> Result<OwnedFd, BeneathError> {
        self.open_with(path, OFlags::PATH | OFlags::CLOEXEC, links)
    }

    /// Opens the file `path` for reading. Does not wait for the writer of a named pipe.
    ///
    /// # Errors
    /// If it is missing, or a link is in the way.
    pub fn open_file(&self, path: &Path, links: Links) -> Result<File, BeneathError> {
        self.open_with(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, links).map(File::from)
    }

    /// The content of the file `path`, of at most `limit` bytes.
    ///
    /// # Errors
    /// If it is missing, no regular file, larger, or a link is in the way.
    pub fn read(&self, path: &Path, links: Links, limit: u64) -> Result<Vec<u8>, BeneathError> {
        let file = self.open_file(path, links)?;
        let failed = |source| self.io("read", path, source);
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")));
        }
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(BeneathError::TooLarge { path: self.path.join(path), limit });
        }
        Ok(bytes)
    }

    /// Makes the file `path`, which must not be there yet, with exactly `mode`, open for writing.
    ///
    /// # Errors
    /// If it is there, its directory is missing, or a link is in the way.
    pub fn create_file(&self, path: &Path, mode: u32) -> Result<File, BeneathError> {
        let (dir, name) = self.parent_of(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&dir, name, flags, Mode::RUSR | Mode::WUSR)
            .and_then(|fd| rustix::fs::fchmod(&fd, Mode::from_bits_truncate(mode)).map(|()| File::from(fd)))
            .map_err(|e| self.io("create file", path, e.into()))
    }

    /// Makes the directories of `path` that are missing, each with exactly `mode`; those that are there keep theirs.
    /// Returns the last one.
    ///
    /// # Errors
    /// If something that is no directory, or a link, is in the way.
    pub fn create_dir_all(&self, path: &Path, mode: u32) -> Result<OwnedFd, BeneathError> {
        let mut dir = self.fd.try_clone().map_err(|e| self.io("open directory", path, e))?;
        for name in segments(path)? {
            let made = match rustix::fs::mkdirat(&dir, name, Mode::RWXU) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(e) => return Err(self.io("create directory", path, e.into())),
            };
            dir = rustix::fs::openat(&dir, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
                .map_err(|e| self.refused_segment(&dir, name, path, e))?;
            if made {
                rustix::fs::fchmod(&dir, Mode::from_bits_truncate(mode))
                    .map_err(|e| self.io("chmod", path, e.into()))?;
            }
        }
        Ok(dir)
    }

    /// The metadata of what is at `path`, a link at its end not followed; `None` when there is nothing.
    ///
    /// # Errors
    /// If a link is in the way, or the file system fails.
    pub fn stat(&self, path: &Path) -> Result<Option<rustix::fs::Stat>, BeneathError> {
        let found = self.parent_of(path).and_then(|(dir, name)| {
            rustix::fs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| self.io("stat", path, e.into()))
        });
        match found {
            Err(e) if e.is_not_found() => Ok(None),
            found => found.map(Some),
        }
    }

    /// Removes the tree at `path`, whatever it holds. Links are removed, not followed. Nothing below a mount point is
    /// touched. A tree that is not there counts as removed, and one half removed can be removed again.
    ///
    /// # Errors
    /// [`BeneathError::MountPoint`] if something is mounted in it; what is beside the mount may be gone by then.
    pub fn remove_tree(&self, path: &Path) -> Result<(), BeneathError> {
        match self.parent_of(path) {
            Ok((dir, name)) => remove::tree(dir.as_fd(), name, &self.path.join(path)),
            Err(e) if e.is_not_found() => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// The directory that holds `path`, and the last segment.
    fn parent_of<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr), BeneathError> {
        let names = segments(path)?;
        let Some((last, above)) = names.split_last() else { return Err(not_relative(path)) };
        let fd = if above.is_empty() {
            self.fd.try_clone().map_err(|e| self.io("open directory", path, e))?
        } else {
            self.open_with(&above.iter().collect::<PathBuf>(), DIRECTORY, Links::Refuse)?
        };
        Ok((fd, last))
    }

    fn open_with(&self, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd, BeneathError> {
        segments(path)?;
        match openat2(self.fd.as_fd(), path.as_os_str(), flags, links) {
            Ok(fd) => Ok(fd),
            Err(Errno::NOSYS) => self.open_by_segments(path, flags, links),
            Err(Errno::LOOP | Errno::XDEV) => Err(self.link(path)),
            Err(e) => Err(self.io("open", path, e.into())),
        }
    }

    /// What `openat2` does, for kernels that do not have it: the directories on the way are kept open, so that `..` in a
    /// link goes back to the one it came from, and never above the root.
    fn open_by_segments(&self, path: &Path, flags: OFlags, links: Links) -> Result<OwnedFd, BeneathError> {
        let failed = |e: Errno| self.io("open", path, e.into());
        let root = self.fd.try_clone().map_err(|e| self.io("open directory", path, e))?;
        let mut dirs = vec![root];
        let mut names: VecDeque<OsString> = segments(path)?.into_iter().map(OsStr::to_owned).collect();
        let mut followed = 0;
        while let Some(name) = names.pop_front() {
            if name == ".." {
                dirs.pop();
            }
            let Some(dir) = dirs.last() else { return Err(self.link(path)) };
            if name == ".." {
                continue;
            }
            match rustix::fs::readlinkat(dir, name.as_os_str(), Vec::new()) {
                Ok(_) if links == Links::Refuse || followed == MAX_LINKS => return Err(self.link(path)),
                Ok(target) => {
                    followed += 1;
                    let target = Path::new(OsStr::from_bytes(target.to_bytes()));
                    for component in target.components().rev() {
                        match component {
                            Component::CurDir => {}
                            Component::Normal(_) | Component::ParentDir => {
                                names.push_front(component.as_os_str().to_owned());
                            }
                            Component::RootDir | Component::Prefix(_) => return Err(self.link(path)),
                        }
                    }
                    continue;
                }
                // Not a link.
                Err(Errno::INVAL) => {}
                Err(e) => return Err(failed(e)),
            }
            let flags = if names.is_empty() { flags } else { DIRECTORY };
            let fd = rustix::fs::openat(dir, name.as_os_str(), flags | OFlags::NOFOLLOW, Mode::empty())
                .map_err(|e| self.refused_segment(dir, &name, path, e))?;
            // With O_PATH, O_NOFOLLOW opens a link itself; one may have come since we looked.
            if is_link(&fd).map_err(failed)? {
                return Err(self.link(path));
            }
            dirs.push(fd);
        }
        // `..` at the end of a link leads to a directory that was opened to walk through: open it as it was asked for.
        let fd = dirs.pop().ok_or_else(|| not_relative(path))?;
        rustix::fs::openat(&fd, c".", flags, Mode::empty()).or_else(|e| match e {
            Errno::NOTDIR => Ok(fd),
            e => Err(failed(e)),
        })
    }

    /// `O_DIRECTORY | O_NOFOLLOW` answers ENOTDIR to a link: tells that from other things that are no directory.
    fn refused_segment(&self, dir: &OwnedFd, name: &OsStr, path: &Path, errno: Errno) -> BeneathError {
        let is_link = || {
            rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
        };
        if matches!(errno, Errno::LOOP | Errno::NOTDIR) && is_link() {
            return self.link(path);
        }
        self.io("open", path, errno.into())
    }

    fn link(&self, path: &Path) -> BeneathError {
        BeneathError::Link { root: self.path.clone(), path: path.to_owned() }
    }

    fn io(&self, doing: &'static str, path: &Path, source: io::Error) -> BeneathError {
        BeneathError::Io { doing, path: self.path.join(path), source }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A path that leads to the open file `fd` and nowhere else, whatever happens to its name: for system calls that want
/// a path, such as mount. Good as long as `fd` is open, in this process.
#[must_use]
pub fn fd_path(fd: impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}

/// Whether something is mounted at exactly what `fd` is open on.
///
/// # Errors
/// If neither the kernel (before 5.8) nor `/proc` tells.
pub fn is_mount_root(fd: impl AsFd) -> io::Result<bool> {
    let stat = rustix::fs::statx(fd.as_fd(), c"", AtFlags::EMPTY_PATH, StatxFlags::empty());
    if let Ok(stat) = stat
        && stat.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
    {
        return Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    let path = std::fs::read_link(fd_path(fd))?;
    let table = MountTable::read().map_err(|e| e.source)?;
    Ok(table.is_mount_point(&path))
}

fn is_link(fd: &OwnedFd) -> Result<bool, Errno> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

/// `openat2` beneath `dir`, again when a rename somewhere got in its way.
fn openat2(dir: BorrowedFd<'_>, path: &OsStr, flags: OFlags, links: Links) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_MAGICLINKS
        | match links {
            Links::Beneath => ResolveFlags::empty(),
            Links::Refuse => ResolveFlags::NO_SYMLINKS,
        };
    let mut tries = 0;
    loop {
        match rustix::fs::openat2(dir, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) if tries < 128 => tries += 1,
            result => return result,
        }
    }
}

fn not_relative(path: &Path) -> BeneathError {
    BeneathError::NotRelative { path: path.to_owned() }
}

/// The names in `path`; none for `.`.
fn segments(path: &Path) -> Result<Vec<&OsStr>, BeneathError> {
    if path.as_os_str().is_empty() {
        return Err(not_relative(path));
    }
    path.components()
        .filter(|component| *component != Component::CurDir)
        .map(|component| match component {
            Component::Normal(name) => Ok(name),
            _ => Err(not_relative(path)),
        })
        .collect()
}

#[cfg(test)]
mod tests;
