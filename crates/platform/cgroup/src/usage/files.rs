//! The files of one cgroup.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, read, retry_on_intr};

use crate::{Hierarchies, Version};

/// Where the files of a cgroup come from: the kernel, or texts in tests.
pub(super) trait Files {
    /// The text of `file`, which is `controller`'s; none if there is no such file.
    fn read(&mut self, controller: &str, file: &str) -> Option<&str>;
}

/// The largest file that is read whole. The kernel's are a few KiB.
const LIMIT: usize = 1 << 20;
/// The kernel hands out whole pages of a longer file: whatever is shorter than this is all of it.
const SHORT: usize = 1024;

/// The directories of a cgroup, one per hierarchy, opened when first needed: what lies above is then looked up once.
pub(super) struct OpenCgroup<'a> {
    hierarchies: &'a Hierarchies,
    path: &'a str,
    directories: BTreeMap<&'a Path, Option<OwnedFd>>,
    buffer: Vec<u8>,
}

impl<'a> OpenCgroup<'a> {
    pub(super) fn new(hierarchies: &'a Hierarchies, path: &'a str) -> Self {
        Self { hierarchies, path, directories: BTreeMap::new(), buffer: Vec::with_capacity(4096) }
    }

    /// The cgroup's directory in the hierarchy of `controller`.
    pub(super) fn directory(&mut self, controller: &str) -> Option<&OwnedFd> {
        let root = self.hierarchies.root_of(controller)?;
        let path = self.path;
        let open = || {
            let directory: PathBuf = root.join(path.trim_start_matches('/'));
            openat(CWD, &directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
        };
        self.directories.entry(root).or_insert_with(open).as_ref()
    }

    /// The directory that there is if there is the cgroup.
    pub(super) fn main_directory(&mut self) -> Option<&OwnedFd> {
        self.directory(main_controller(self.hierarchies.version()))
    }
}

/// The controller whose hierarchy tells whether a cgroup exists, and which processes are in it.
pub(super) fn main_controller(version: Version) -> &'static str {
    match version {
        Version::V1 => "memory",
        Version::V2 => "",
    }
}

impl Files for OpenCgroup<'_> {
    fn read(&mut self, controller: &str, file: &str) -> Option<&str> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let done =
            self.directory(controller).and_then(|directory| read_whole(directory, file, &mut buffer).ok());
        self.buffer = buffer;
        done?;
        std::str::from_utf8(&self.buffer).ok()
    }
}

fn read_whole(directory: &OwnedFd, file: &str, buffer: &mut Vec<u8>) -> io::Result<()> {
    let fd = openat(directory, file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    buffer.resize(buffer.capacity().max(4096), 0);
    let mut length = 0;
    loop {
        let count = retry_on_intr(|| read(&fd, &mut buffer[length..]))?;
        length += count;
        if count == 0 || length < SHORT {
            break;
        }
        if length == buffer.len() {
            if length >= LIMIT {
                return Err(Errno::FBIG.into());
            }
            buffer.resize(length * 2, 0);
        }
    }
    buffer.truncate(length);
    Ok(())
}

/// Files by controller and name, written by hand.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Texts(pub(super) BTreeMap<&'static str, String>);

#[cfg(test)]
impl Files for Texts {
    fn read(&mut self, _: &str, file: &str) -> Option<&str> {
        self.0.get(file).map(String::as_str)
    }
}

#[cfg(test)]
impl Texts {
    pub(super) fn new(files: impl IntoIterator<Item = (&'static str, &'static str)>) -> Self {
        Self(files.into_iter().map(|(file, text)| (file, text.to_owned())).collect())
    }
}
