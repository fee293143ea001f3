//! Whether a file is another one than before, without reading it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What tells one content of a file from the next. Links are followed, so swapping one changes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of the file at `path`; `None` if there is none to be seen.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::metadata(path).ok()?;
        Some(Self { inode: meta.ino(), size: meta.size(), changed: (meta.ctime(), meta.ctime_nsec()) })
    }
}
