//! Reading a manifest file, whatever may lie under its name.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use crate::manifest::MAX_BYTES;
use crate::problem::{Finding, Reason};

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &std::fs::Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// What lies under a name.
pub(crate) enum Opened {
    /// A file, ready to be read.
    File(File, Stamp),
    /// Nothing any more.
    Vanished,
    /// Something that cannot be read.
    Bad(Finding),
}

/// Opens the file at `path`, following links. Never waits for the other end of a pipe or for a device.
pub(crate) fn open(path: &Path) -> Opened {
    // Looked at before it is opened: to open some devices is to start them.
    let found = std::fs::metadata(path)
        .and_then(|meta| regular(&meta).map_or_else(|bad| Ok(Err(bad)), |()| open_file(path).map(Ok)));
    match found {
        Ok(Ok(file)) => match file.metadata() {
            Ok(meta) => match regular(&meta) {
                Ok(()) if meta.len() > MAX_BYTES as u64 => Opened::Bad(too_large(meta.len())),
                Ok(()) => Opened::File(file, Stamp::of(&meta)),
                Err(bad) => Opened::Bad(bad),
            },
            Err(error) => Opened::Bad(unreadable(&error)),
        },
        Ok(Err(bad)) => Opened::Bad(bad),
        // A link that leads nowhere is there to stay, and is to be told; a name without anything is gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound && path.symlink_metadata().is_err() => {
            Opened::Vanished
        }
        Err(error) => Opened::Bad(unreadable(&error)),
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits() | rustix::fs::OFlags::NOCTTY.bits());
    OpenOptions::new().read(true).custom_flags(nonblocking.unwrap_or_default()).open(path)
}

fn regular(meta: &std::fs::Metadata) -> Result<(), Finding> {
    use std::os::unix::fs::FileTypeExt;
    let kind = meta.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a directory (manifests are not looked for below it)",
        () if kind.is_fifo() => "a named pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(Finding::error(Reason::NotRegularFile, format!("this is {what}, not a manifest file")))
}

fn too_large(bytes: u64) -> Finding {
    Finding::error(
        Reason::TooLarge,
        format!("{bytes} bytes are more than the {MAX_BYTES} a manifest may have"),
    )
}

fn unreadable(error: &io::Error) -> Finding {
    Finding::error(Reason::Unreadable, format!("the file could not be read: {error}"))
}

/// The file's content, of which never more than [`MAX_BYTES`] are read even if it grows meanwhile.
pub(crate) fn read(file: File) -> Result<Vec<u8>, Finding> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() > MAX_BYTES {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}
