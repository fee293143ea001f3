//! Kinds, owners and exact modes of files.

use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use crate::PathError;

/// What kind of file a path names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link; only from [`FileKind::of_link`].
    Symlink,
    /// A Unix socket.
    Socket,
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl FileKind {
    /// The kind of what `path` leads to; links are followed.
    ///
    /// # Errors
    /// If there is nothing at `path` or it cannot be reached.
    pub fn of(path: &Path) -> Result<Self, PathError> {
        std::fs::metadata(path).map(|meta| meta.file_type().into()).map_err(PathError::on("stat", path))
    }

    /// The kind of `path` itself; a link at its end is not followed.
    ///
    /// # Errors
    /// If there is nothing at `path` or it cannot be reached.
    pub fn of_link(path: &Path) -> Result<Self, PathError> {
        std::fs::symlink_metadata(path)
            .map(|meta| meta.file_type().into())
            .map_err(PathError::on("stat", path))
    }

    /// The kind in words, for messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "a regular file",
            Self::Directory => "a directory",
            Self::Symlink => "a symbolic link",
            Self::Socket => "a Unix socket",
            Self::Fifo => "a named pipe",
            Self::CharDevice => "a character device",
            Self::BlockDevice => "a block device",
        }
    }
}

impl From<FileType> for FileKind {
    fn from(kind: FileType) -> Self {
        match kind {
            k if k.is_dir() => Self::Directory,
            k if k.is_symlink() => Self::Symlink,
            k if k.is_socket() => Self::Socket,
            k if k.is_fifo() => Self::Fifo,
            k if k.is_char_device() => Self::CharDevice,
            k if k.is_block_device() => Self::BlockDevice,
            _ => Self::File,
        }
    }
}

/// The metadata of `path` itself, or `None` when there is nothing at it.
///
/// # Errors
/// If `path` cannot be reached for another reason.
pub fn lstat(path: &Path) -> Result<Option<Metadata>, PathError> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(PathError::on("stat", path)(e)),
    }
}

/// Makes the directory `path` with exactly `mode`, whatever the umask. Returns whether it was not there before; one
/// that was keeps its mode.
///
/// # Errors
/// If it cannot be made, or something else is in its place.
pub fn create_dir(path: &Path, mode: u32) -> Result<bool, PathError> {
    match std::fs::create_dir(path) {
        Ok(()) => {
            // Whoever may write above it may have put something else in its place since.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::open(path, flags, Mode::empty())
                .and_then(|dir| rustix::fs::fchmod(&dir, Mode::from_bits_truncate(mode)))
                .map(|()| true)
                .map_err(PathError::on("chmod", path))
        }
        Err(e)
            if e.kind() == io::ErrorKind::AlreadyExists
                && FileKind::of_link(path)? == FileKind::Directory =>
        {
            Ok(false)
        }
        Err(e) => Err(PathError::on("create directory", path)(e)),
    }
}

/// As [`create_dir`], with the directories above that are missing; they get the same mode.
///
/// # Errors
/// If one of them cannot be made, or something else is in its place.
pub fn create_dir_all(path: &Path, mode: u32) -> Result<bool, PathError> {
    match create_dir(path, mode) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                create_dir_all(parent, mode)?;
                create_dir(path, mode)
            }
            _ => Err(e),
        },
        result => result,
    }
}

/// Sets the permission bits of what `path` leads to, exactly.
///
/// # Errors
/// If the file is missing or belongs to someone else.
pub fn chmod(path: &Path, mode: u32) -> Result<(), PathError> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(PathError::on("chmod", path))
}

/// Changes owner and group of what `path` leads to; `None` keeps the present one.
///
/// # Errors
/// If the file is missing or the caller may not.
pub fn chown(path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result<(), PathError> {
    std::os::unix::fs::chown(path, uid, gid).map_err(PathError::on("chown", path))
}

/// As [`chown`], of the link itself when `path` is one.
///
/// # Errors
/// If the file is missing or the caller may not.
pub fn lchown(path: &Path, uid: Option<u32>, gid: Option<u32>) -> Result<(), PathError> {
    std::os::unix::fs::lchown(path, uid, gid).map_err(PathError::on("chown", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn directories_get_their_mode_whatever_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        assert!(create_dir_all(&path, 0o777).unwrap());
        assert_eq!((mode(&path), mode(&dir.path().join("a"))), (0o777, 0o777));
        assert!(!create_dir_all(&path, 0o700).unwrap(), "it was there");
        assert_eq!(mode(&path), 0o777, "and keeps its mode");
    }

    #[test]
    fn a_file_or_a_link_is_not_taken_for_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(create_dir(&file, 0o755).is_err());
        assert!(create_dir(&link, 0o755).is_err());
        assert_eq!(FileKind::of_link(&link).unwrap(), FileKind::Symlink);
        assert_eq!(FileKind::of(&link).unwrap(), FileKind::Directory);
    }
}
