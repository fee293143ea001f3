//! Which directory to watch so that no change of a path is missed: itself if it is a directory, else the nearest
//! directory above it that exists.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A directory to watch for changes of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    pub(crate) dir: PathBuf,
    /// Device and inode: a directory that takes the place of another one is another target.
    identity: Option<(u64, u64)>,
    /// The one name in it that matters; every name if it is the manifest directory itself.
    name: Option<OsString>,
}

impl Target {
    pub(crate) fn of(path: &Path) -> Self {
        let inode = |path: &Path| {
            let meta = std::fs::metadata(path).ok()?;
            meta.is_dir().then(|| (meta.dev(), meta.ino()))
        };
        if let Some(identity) = inode(path) {
            return Self { dir: path.to_owned(), identity: Some(identity), name: None };
        }
        let mut below = path;
        while let Some(dir) = below.parent() {
            let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
            if let Some(identity) = inode(dir) {
                let name = below.file_name().map(OsStr::to_owned);
                return Self { dir: dir.to_owned(), identity: Some(identity), name };
            }
            below = dir;
        }
        Self { dir: PathBuf::from("/"), identity: None, name: None }
    }

    /// Whether a change of the entry `name` matters.
    pub(crate) fn concerns(&self, name: &OsStr) -> bool {
        match &self.name {
            Some(wanted) => wanted == name,
            // Manifests may be links through `..data`, which is swapped to change them all at once.
            None => !name.as_bytes().starts_with(b".") || name.as_bytes().starts_with(b".."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_directory() {
        let dir = tempfile::tempdir().unwrap();
        let target = Target::of(dir.path());
        assert_eq!((target.dir.as_path(), &target.name), (dir.path(), &None));
        assert!(target.concerns("a".as_ref()) && !target.concerns(".a".as_ref()));
        assert!(target.concerns("..data".as_ref()));
        let target = Target::of(&dir.path().join("a/b"));
        assert_eq!(target.dir, dir.path());
        assert!(target.concerns("a".as_ref()) && !target.concerns("b".as_ref()));
        assert_eq!(Target::of(Path::new("no-such-file")).dir, Path::new("."));
    }
}
