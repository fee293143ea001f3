//! What lies so deep that the directories above it cannot all stay open: a container must not hide there what it writes.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;

use rustix::fs::{Dir, Mode, fstat, openat};
use rustix::io::Errno;

use super::{DIRECTORY, Sum, count, is_itself_or_above};

/// How many directories below one that lies so deep are looked into. Each takes about 64 bytes while it waits.
const MAX_DIRECTORIES: usize = 1 << 20;

/// A directory on the way down, which is closed while one below it is looked into.
struct Level {
    name: CString,
    /// Device and inode.
    identity: (u64, u64),
    /// The directories in it that wait.
    left: Vec<CString>,
}

impl Level {
    /// Counts what `dir` holds. As many directories in it as `rest` says will be looked into.
    fn look(name: CString, dir: &OwnedFd, sum: &mut Sum, rest: &mut usize) -> Result<Self, Errno> {
        let stat = fstat(dir)?;
        let mut left = Vec::new();
        let mut entries = Dir::read_from(dir)?;
        while let Some(Ok(entry)) = entries.read() {
            let name = entry.file_name();
            if !is_itself_or_above(name) && count(dir, name, stat.st_dev, sum) && *rest > 0 {
                *rest -= 1;
                left.push(name.to_owned());
            }
        }
        Ok(Self { name, identity: (stat.st_dev, stat.st_ino), left })
    }

    /// Opens it by a name in `dir`, if it is still that directory.
    fn open(&self, dir: &OwnedFd, name: &CStr) -> Option<OwnedFd> {
        let fd = openat(dir, name, DIRECTORY, Mode::empty()).ok()?;
        let stat = fstat(&fd).ok()?;
        ((stat.st_dev, stat.st_ino) == self.identity).then_some(fd)
    }
}

/// Adds all below `first` to `sum`, with a few files open however deep it goes. What vanishes meanwhile is left out.
pub(super) fn walk(first: &OwnedFd, sum: &mut Sum) {
    let mut rest = MAX_DIRECTORIES;
    let Ok(mut here) = openat(first, c".", DIRECTORY, Mode::empty()) else { return };
    let Ok(level) = Level::look(c".".to_owned(), &here, sum, &mut rest) else { return };
    let device = level.identity.0;
    let mut way = vec![level];
    while let Some(level) = way.last_mut() {
        let Some(name) = level.left.pop() else {
            way.pop();
            let Some(above) = up(first, &here, &mut way) else { return };
            here = above;
            continue;
        };
        let Ok(inner) = openat(&here, &name, DIRECTORY, Mode::empty()) else { continue };
        // Something may have been mounted there since it was counted.
        if fstat(&inner).is_ok_and(|stat| stat.st_dev == device)
            && let Ok(below) = Level::look(name, &inner, sum, &mut rest)
        {
            way.push(below);
            here = inner;
        }
    }
}

/// The last directory of `way`, by way of `here`, which is in it. If that was moved elsewhere meanwhile, by the names
/// from `first`: what is still found on the way is gone on with.
fn up(first: &OwnedFd, here: &OwnedFd, way: &mut Vec<Level>) -> Option<OwnedFd> {
    if let Some(above) = way.last()?.open(here, c"..") {
        return Some(above);
    }
    let mut found = None;
    let mut reached = 0;
    for level in &*way {
        let Some(next) = level.open(found.as_ref().unwrap_or(first), &level.name) else { break };
        found = Some(next);
        reached += 1;
    }
    way.truncate(reached);
    found
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn open(path: &Path) -> OwnedFd {
        rustix::fs::open(path, DIRECTORY, Mode::empty()).unwrap()
    }

    #[test]
    fn the_way_up_is_found_when_directories_are_moved() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("first/a/b/c")).unwrap();
        let first = open(&at("first"));
        let way = || -> Vec<Level> {
            let level = |(path, name): (&str, &CStr)| {
                let (dir, mut sum) = (open(&at(path)), Sum::default());
                Level::look(name.to_owned(), &dir, &mut sum, &mut 0).unwrap()
            };
            [("first", c"."), ("first/a", c"a"), ("first/a/b", c"b")].map(level).into()
        };
        let here = open(&at("first/a/b/c"));
        let upwards = |way: &mut Vec<Level>| up(&first, &here, way).map(|fd| fstat(fd).unwrap().st_ino);
        let inode = |path: &str| Some(fstat(open(&at(path))).unwrap().st_ino);

        let (mut still, mut moved, mut above) = (way(), way(), way());
        assert_eq!((upwards(&mut still), still.len()), (inode("first/a/b"), 3));
        fs::rename(at("first/a/b/c"), at("c")).unwrap();
        assert_eq!((upwards(&mut moved), moved.len()), (inode("first/a/b"), 3));
        // Another one under its name is not taken for it.
        fs::rename(at("first/a/b"), at("b")).unwrap();
        fs::create_dir(at("first/a/b")).unwrap();
        assert_eq!((upwards(&mut above), above.len()), (inode("first/a"), 2));
    }
}
