//! The log files of one container: the one that is written, and those that were rotated away.
//!
//! `0.log` is written, `0.log.20240131-235959` is rotated, `0.log.20240131-235900.gz` is rotated and compressed, and
//! `….gz.tmp` or `….tmp` is what a compression that broke off left behind.

use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Ending of compressed files.
pub(crate) const GZ: &str = ".gz";
/// Ending of files that are being made.
pub(crate) const TMP: &str = ".tmp";

/// Opens a log file for reading. Anything but a regular file is refused, and nothing is waited for. A container that
/// may write to the directory could lead a link to any file of the node. The directories above may be links: they are
/// the administrator's.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|error| {
        if Errno::from_io_error(&error) == Some(Errno::LOOP) { link_refused() } else { error }
    })?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(file)
}

/// Why a link in the place of a log is not followed.
pub(crate) fn link_refused() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "it is a symbolic link, which is not followed in the place of a log: remove it",
    )
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// That of the file now at `path`, be it a link; `None` if there is none.
    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::symlink_metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Names of the files that were rotated away from `log`, in the order of their times. None if the directory is gone.
pub(crate) fn rotated(log: &Path) -> io::Result<Vec<String>> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name().and_then(OsStr::to_str)) else {
        return Ok(Vec::new());
    };
    let prefix = format!("{name}.");
    let mut names = Vec::new();
    let entries = match std::fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        names.extend(name.to_str().filter(|name| name.starts_with(&prefix)).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// The file that follows `current` in time: a rotated one that is not compressed, or the one now written. `None` if
/// `current` is the one now written, or the next one is not there yet.
pub(crate) fn successor(log: &Path, current: Identity) -> io::Result<Option<PathBuf>> {
    let live = Identity::at(log)?;
    if live == Some(current) {
        return Ok(None);
    }
    let plain = |name: &String| !name.ends_with(GZ) && !name.ends_with(TMP);
    let mut later = rotated(log)?.into_iter().filter(plain).map(|name| log.with_file_name(name));
    // What is newer than the current one, if that is still there. If it is not, what followed it may be gone as well.
    if later.by_ref().any(|path| Identity::at(&path).is_ok_and(|found| found == Some(current)))
        && let Some(next) = later.next()
    {
        return Ok(Some(next));
    }
    Ok(live.map(|_| log.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_follow_one_another() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        let write = |name: &str| {
            std::fs::write(dir.path().join(name), name).unwrap();
            Identity::at(&dir.path().join(name)).unwrap().unwrap()
        };
        let oldest = write("0.log.20240101-000000");
        write("0.log.20240101-000001.gz");
        write("0.log.20240101-000001.tmp");
        let middle = write("0.log.20240101-000002");
        write("1.log");
        assert_eq!(successor(&log, middle).unwrap(), None);
        let live = write("0.log");
        let next = |current| successor(&log, current).unwrap().map(|p| p.file_name().unwrap().to_owned());
        assert_eq!(next(oldest).unwrap(), "0.log.20240101-000002");
        assert_eq!(next(middle).unwrap(), "0.log");
        assert_eq!(next(live), None);
        assert_eq!(next(Identity { device: 0, inode: 0 }).unwrap(), "0.log");
    }
}
