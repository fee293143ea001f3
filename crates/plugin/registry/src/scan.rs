//! The sockets in the directory of plugins and in the directories below it.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use linux::PathError;

/// How deep below the directory of plugins sockets are looked for.
const MAX_DEPTH: usize = 4;

/// How many directories are looked at. Each costs an inotify instance, of which a user has 128.
const MAX_DIRS: usize = 32;

/// How many sockets are taken for plugins.
const MAX_SOCKETS: usize = 512;

/// Mode of the directory of plugins.
const MODE: u32 = 0o755;

/// What tells a socket from another one of the same path. Binding makes a new file; inode numbers are used again, so its
/// time counts too. Changing mode or owner is no news.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    modified: (i64, i64),
}

impl Identity {
    fn of(meta: &Metadata) -> Self {
        Self { device: meta.dev(), inode: meta.ino(), modified: (meta.mtime(), meta.mtime_nsec()) }
    }
}

/// What there is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Found {
    pub(crate) sockets: BTreeMap<PathBuf, Identity>,
    /// The directory itself and those below it.
    pub(crate) dirs: Vec<PathBuf>,
}

/// Looks through `dir`, which is made if it is not there. Names that begin with a dot are nobody's plugin: they are
/// sockets in the making. What is below a directory that cannot be read is left out.
///
/// # Errors
/// If `dir` itself cannot be made or read.
pub(crate) fn scan(dir: &Path) -> Result<Found, PathError> {
    linux::fs::create_dir_all(dir, MODE)?;
    let mut found = Found::default();
    let mut pending = vec![(dir.to_owned(), 0)];
    while let Some((path, depth)) = pending.pop() {
        match list(&path, &mut found.sockets) {
            Ok(below) => {
                found.dirs.push(path);
                let room = MAX_DIRS.saturating_sub(found.dirs.len() + pending.len());
                let below = below.into_iter().filter(|_| depth < MAX_DEPTH);
                pending.extend(below.take(room).map(|path| (path, depth + 1)));
            }
            Err(error) if depth == 0 => return Err(PathError::on("list", &path)(error)),
            Err(error) => {
                tracing::debug!(path = %path.display(), %error, "A directory of plugins cannot be read");
            }
        }
    }
    Ok(found)
}

/// Adds the sockets in `dir` to `sockets`, and returns its directories.
fn list(dir: &Path, sockets: &mut BTreeMap<PathBuf, Identity>) -> io::Result<Vec<PathBuf>> {
    let mut dirs = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().as_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            dirs.push(path);
        } else if let Ok(meta) = std::fs::metadata(&path)
            && meta.file_type().is_socket()
            && sockets.len() < MAX_SOCKETS
        {
            sockets.insert(path, Identity::of(&meta));
        }
    }
    dirs.sort_unstable();
    Ok(dirs)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn sockets_at_any_depth_and_nothing_else() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("plugins_registry");
        assert_eq!(scan(&dir).unwrap().dirs, std::slice::from_ref(&dir), "it is made");
        std::fs::create_dir(dir.join("driver")).unwrap();
        std::fs::create_dir(dir.join(".hidden")).unwrap();
        std::fs::write(dir.join("file"), "").unwrap();
        std::os::unix::fs::symlink("/", dir.join("root")).unwrap();
        let names = ["a.sock", "driver/b.sock", ".c.sock", ".hidden/d.sock"];
        let _bound = names.map(|name| UnixListener::bind(dir.join(name)).unwrap());
        let found = scan(&dir).unwrap();
        let sockets: Vec<_> = found.sockets.keys().map(|path| path.strip_prefix(&dir).unwrap()).collect();
        assert_eq!(sockets, [Path::new("a.sock"), Path::new("driver/b.sock")]);
        assert_eq!(found.dirs, [dir.clone(), dir.join("driver")]);
    }

    #[test]
    fn a_socket_bound_again_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let identity = || scan(dir.path()).unwrap().sockets[&path];
        let first = UnixListener::bind(&path).unwrap();
        let before = identity();
        linux::fs::chmod(&path, 0o600).unwrap();
        assert_eq!(identity(), before, "another mode makes no other socket");
        drop(first);
        std::fs::remove_file(&path).unwrap();
        let _second = UnixListener::bind(&path).unwrap();
        assert_ne!(identity(), before);
    }

    #[test]
    fn the_number_of_directories_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        for n in 0..2 * MAX_DIRS {
            std::fs::create_dir(dir.path().join(n.to_string())).unwrap();
        }
        assert_eq!(scan(dir.path()).unwrap().dirs.len(), MAX_DIRS);
    }
}
