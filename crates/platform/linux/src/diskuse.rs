//! How much room a directory takes, by looking at everything in it.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, openat, statat};
use rustix::io::Errno;

use crate::PathError;

mod deep;

/// What a directory and all below it take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DiskUse {
    /// Blocks, in bytes.
    pub bytes: u64,
    /// Inodes.
    pub inodes: u64,
}

/// How many directories below one another are open at once. What is deeper is looked through with one open at a time.
const MAX_OPEN: usize = 500;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The kernel counts blocks of this size, whatever those of the file system.
const BLOCK: u64 = 512;

/// What `path` takes: one file, or a directory with all below it on the same file system. A file with several names
/// counts with the part that is found of them. What vanishes meanwhile is left out. Blocks for as long as it takes.
///
/// # Errors
/// If `path` cannot be looked at.
pub fn of(path: &Path) -> Result<DiskUse, PathError> {
    let fail = |error: Errno| PathError::on("measure", path)(error);
    let mut sum = Sum::default();
    match openat(CWD, path, DIRECTORY, Mode::empty()) {
        Ok(root) => {
            let stat = fstat(&root).map_err(fail)?;
            sum.add(&stat);
            walk(root, stat.st_dev, &mut sum).map_err(fail)?;
        }
        Err(Errno::NOTDIR | Errno::LOOP) => {
            sum.add(&statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map_err(fail)?);
        }
        Err(error) => return Err(fail(error)),
    }
    Ok(sum.rounded())
}

fn walk(root: OwnedFd, device: u64, sum: &mut Sum) -> Result<(), Errno> {
    let mut open = vec![Dir::new(root)?];
    loop {
        let depth = open.len();
        let Some(dir) = open.last_mut() else { return Ok(()) };
        // A directory that cannot be read on is over.
        let Some(Ok(entry)) = dir.read() else {
            open.pop();
            continue;
        };
        let (parent, name) = (dir.fd()?, entry.file_name());
        if !is_itself_or_above(name)
            && count(parent, name, device, sum)
            && let Ok(inner) = openat(parent, name, DIRECTORY, Mode::empty())
        {
            if depth < MAX_OPEN {
                open.push(Dir::new(inner)?);
            } else {
                deep::walk(&inner, sum);
            }
        }
    }
}

/// Adds what is called `name` in `parent`, if it is on `device`. Says whether it is a directory to look into.
fn count(parent: impl AsFd, name: &CStr, device: u64, sum: &mut Sum) -> bool {
    let Ok(stat) = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) else { return false };
    if stat.st_dev != device {
        return false;
    }
    sum.add(&stat);
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

fn is_itself_or_above(name: &CStr) -> bool {
    matches!(name.to_bytes(), b"." | b"..")
}

/// Files with several names are shared among these, so that no list of those seen is needed.
#[derive(Default)]
struct Sum {
    bytes: f64,
    inodes: f64,
}

impl Sum {
    // The fields' types differ between architectures.
    #[allow(clippy::unnecessary_cast, clippy::cast_precision_loss, reason = "no disk has 2^52 bytes")]
    fn add(&mut self, stat: &Stat) {
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let names = if is_directory { 1 } else { (stat.st_nlink as u64).max(1) };
        self.bytes += ((stat.st_blocks as u64).saturating_mul(BLOCK)) as f64 / names as f64;
        self.inodes += 1.0 / names as f64;
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of what is positive")]
    fn rounded(&self) -> DiskUse {
        DiskUse { bytes: self.bytes.round() as u64, inodes: self.inodes.round() as u64 }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn blocks(path: &Path) -> u64 {
        std::fs::symlink_metadata(path).unwrap().blocks() * BLOCK
    }

    #[test]
    fn everything_below_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        let deep = root.join("a/b");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(deep.join("big"), vec![1; 100_000]).unwrap();
        std::fs::hard_link(deep.join("big"), root.join("again")).unwrap();
        std::os::unix::fs::symlink("/", root.join("link")).unwrap();
        let found = of(&root).unwrap();
        let parts = [&root, &root.join("a"), &deep, &deep.join("big"), &root.join("link")];
        assert_eq!(found.bytes, parts.into_iter().map(|path| blocks(path)).sum::<u64>());
        assert_eq!(found.inodes, 5);
    }

    #[test]
    fn names_outside_of_it_take_their_part() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("file"), vec![1; 100_000]).unwrap();
        std::fs::hard_link(root.join("file"), dir.path().join("outside")).unwrap();
        assert_eq!(of(&root).unwrap().bytes, blocks(&root) + blocks(&root.join("file")) / 2);
    }

    #[test]
    fn a_file_and_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(of(&file).unwrap(), DiskUse { bytes: blocks(&file), inodes: 1 });
        assert!(of(&dir.path().join("none")).is_err());
    }

    #[test]
    fn what_lies_deep_counts_too() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("d/".repeat(MAX_OPEN + 50));
        for path in ["a/b/c", "a/d", "e"] {
            std::fs::create_dir_all(deep.join(path)).unwrap();
            std::fs::write(deep.join(path).join("file"), vec![1; 100_000]).unwrap();
        }
        let found = of(dir.path()).unwrap();
        assert_eq!(found.inodes, 1 + MAX_OPEN as u64 + 50 + 5 + 3);
        assert!(found.bytes >= 300_000, "{found:?}");
    }
}
