//! Writing the files of a volume so that a reader sees all of the old ones or all of the new ones.
//!
//! The files are in a directory of their own, `..YYYY_MM_DD_HH_MM_SS.<number>`. A link `..data` leads to it, and is
//! replaced in one step. What users see are links of their own, `<name>` to `..data/<name>`, which stay. A program that
//! opened the directory through `..data` keeps the old files for as long as it has them open.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;
use linux::beneath::{BeneathError, Links, Root};
use rustix::fs::{AtFlags, Dir};
use rustix::io::Errno;

const DATA: &str = "..data";
const DATA_NEW: &str = "..data_tmp";
const DIR_MODE: u32 = 0o755;
const DEFAULT_MODE: i32 = 0o644;
const MAX_PATH: usize = 4096;
const MAX_NAME: usize = 255;

/// One file to be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProjectedFile {
    /// Its content.
    pub data: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
    /// The user that it is given to; else it stays root's.
    pub uid: Option<u32>,
}

impl ProjectedFile {
    /// A file of root's. `mode` is as the API has it; 0644 if it says nothing.
    pub(crate) fn new(data: &[u8], mode: Option<i32>) -> Self {
        let mode = u32::try_from(mode.unwrap_or(DEFAULT_MODE)).unwrap_or_default() & 0o777;
        Self { data: data.to_owned(), mode, uid: None }
    }
}

/// Why files could not be written.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    /// A path that no file may have.
    #[error("the file path {path:?} is not usable: {why}")]
    Path {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file could not be written.
    #[error(transparent)]
    Beneath(#[from] BeneathError),
    /// A step failed.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: std::io::Error,
    },
    /// The owner or mode of the new files could not be set.
    #[error(transparent)]
    Owner(#[from] linux::PathError),
}

/// The files of a volume by relative path, each path checked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Payload {
    files: BTreeMap<PathBuf, ProjectedFile>,
}

impl Payload {
    /// Adds a file; a later one takes the place of an earlier one at the same path.
    ///
    /// # Errors
    /// If the path is absolute, too long, has `..`, begins with `..`, or is a directory of another file's path.
    pub fn insert(&mut self, path: &str, file: ProjectedFile) -> Result<(), PayloadError> {
        let clean = clean(Path::new(path)).map_err(|why| PayloadError::Path { path: path.into(), why })?;
        let is_dir = self.files.keys().any(|other| *other != clean && other.starts_with(&clean));
        let in_file = clean.ancestors().skip(1).any(|above| self.files.contains_key(above));
        if is_dir || in_file {
            return Err(PayloadError::Path {
                path: clean,
                why: "a file cannot be a directory of other files too",
            });
        }
        self.files.insert(clean, file);
        Ok(())
    }

    /// The files, by path.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Path, &ProjectedFile)> {
        self.files.iter().map(|(path, file)| (path.as_path(), file))
    }

    /// The names that users see: the first segments of the paths.
    fn names(&self) -> BTreeSet<&OsStr> {
        self.files.keys().filter_map(|path| path.iter().next()).collect()
    }
}

fn clean(path: &Path) -> Result<PathBuf, &'static str> {
    if path.as_os_str().len() > MAX_PATH {
        return Err("it is longer than 4096 bytes");
    }
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) if name.len() > MAX_NAME => {
                return Err("a part is longer than 255 bytes");
            }
            Component::Normal(name) if name.as_bytes().contains(&0) => return Err("it contains a zero byte"),
            Component::Normal(name) if clean.as_os_str().is_empty() && name.as_bytes().starts_with(b"..") => {
                return Err("it begins with `..`");
            }
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir => return Err("it contains `..`"),
            Component::RootDir | Component::Prefix(_) => return Err("it is absolute"),
        }
    }
    if clean.as_os_str().is_empty() { Err("it is empty") } else { Ok(clean) }
}

/// Makes `payload` exactly what is visible in `dir`. Does nothing if the bytes are the same already. `own`, which is
/// given `dir`, sets owner and modes of the new files before anybody sees them. Returns whether anything was written.
///
/// A crash in between leaves the old files or the new ones visible; what else it leaves is cleaned up by the next call.
///
/// # Errors
/// If a file cannot be written; the old ones then stay visible.
pub fn write(
    dir: &Path,
    payload: &Payload,
    now: Timestamp,
    own: impl FnOnce(&Path) -> Result<(), linux::PathError>,
) -> Result<bool, PayloadError> {
    let root = Root::open(dir)?;
    let current = current(&root)?;
    let fresh = match &current {
        Some(name) => !is_same(&root, name, payload)?,
        None => true,
    };
    if fresh {
        let name = new_directory(&root, now)?;
        write_files(&root, Path::new(&name), payload)?;
        own(dir)?;
        swap(&root, &name)?;
    }
    link_names(&root, payload)?;
    clean_up(&root, payload)?;
    Ok(fresh)
}

/// Whether `dir` shows files that were written whole.
///
/// # Errors
/// If it cannot be looked at.
pub(crate) fn is_written(dir: &Path) -> Result<bool, PayloadError> {
    let root = match Root::open(dir) {
        Ok(root) => root,
        Err(error) if error.is_not_found() => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    match current(&root)? {
        Some(name) => Ok(root.stat(Path::new(&name))?.is_some()),
        None => Ok(false),
    }
}

/// The directory that `..data` leads to.
fn current(root: &Root) -> Result<Option<OsString>, PayloadError> {
    match rustix::fs::readlinkat(root, DATA, Vec::new()) {
        Ok(target) => {
            Ok(Some(OsStr::from_bytes(target.to_bytes()).to_owned()).filter(|name| is_version(name)))
        }
        Err(Errno::NOENT | Errno::INVAL) => Ok(None),
        Err(e) => Err(failed(root, "read the link", DATA)(e)),
    }
}

/// Whether `name` can be the name of a directory of files.
fn is_version(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes.starts_with(b"..") && bytes.len() > 2 && !bytes.contains(&b'/') && name != DATA && name != DATA_NEW
}

/// Whether the directory holds the files of `payload`, byte by byte, and no other.
fn is_same(root: &Root, current: &OsStr, payload: &Payload) -> Result<bool, PayloadError> {
    let current = Path::new(current);
    let Ok(dir) = root.sub(current, Links::Refuse) else { return Ok(false) };
    for (path, file) in &payload.files {
        let limit = file.data.len() as u64;
        if dir.read(path, Links::Refuse, limit).ok().as_ref() != Some(&file.data) {
            return Ok(false);
        }
    }
    let mut found = 0;
    count_files(root, current, &mut found)?;
    Ok(found == payload.files.len())
}

fn count_files(root: &Root, path: &Path, found: &mut usize) -> Result<(), PayloadError> {
    let dir = root.sub(path, Links::Refuse)?;
    for name in list(&dir)? {
        let path = path.join(&name);
        match root.stat(&path)? {
            Some(stat) if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() => {
                count_files(root, &path, found)?;
            }
            _ => *found += 1,
        }
    }
    Ok(())
}

/// Makes a directory for new files, under a name that was not there.
fn new_directory(root: &Root, now: Timestamp) -> Result<OsString, PayloadError> {
    let stamp = now.strftime("..%Y_%m_%d_%H_%M_%S");
    let mut number = now.subsec_nanosecond();
    loop {
        let name = OsString::from(format!("{stamp}.{number}"));
        if root.stat(Path::new(&name))?.is_none() {
            root.create_dir_all(Path::new(&name), DIR_MODE)?;
            return Ok(name);
        }
        number += 1;
    }
}

fn write_files(root: &Root, version: &Path, payload: &Payload) -> Result<(), PayloadError> {
    for (path, file) in &payload.files {
        let path = version.join(path);
        if let Some(parent) = path.parent() {
            root.create_dir_all(parent, DIR_MODE)?;
        }
        let mut made = root.create_file(&path, file.mode)?;
        let failed = |doing, source| PayloadError::Io { doing, path: root.path().join(&path), source };
        made.write_all(&file.data).map_err(|source| failed("write", source))?;
        if let Some(uid) = file.uid {
            std::os::unix::fs::fchown(&made, Some(uid), None)
                .map_err(|source| failed("change the owner of", source))?;
        }
    }
    Ok(())
}

/// Makes `..data` lead to `version`, in one step.
fn swap(root: &Root, version: &OsStr) -> Result<(), PayloadError> {
    root.remove_tree(Path::new(DATA_NEW))?;
    rustix::fs::symlinkat(version, root, DATA_NEW).map_err(failed(root, "make the link", DATA_NEW))?;
    rustix::fs::renameat(root, DATA_NEW, root, DATA).map_err(failed(root, "replace the link", DATA))
}

fn link_to(name: &OsStr) -> PathBuf {
    Path::new(DATA).join(name)
}

/// Makes the links that users see, where they are missing.
fn link_names(root: &Root, payload: &Payload) -> Result<(), PayloadError> {
    for name in payload.names() {
        if !leads_to_data(root, name) {
            rustix::fs::symlinkat(link_to(name), root, name).map_err(failed(root, "make the link", name))?;
        }
    }
    Ok(())
}

/// Whether `name` is a link that we made.
fn leads_to_data(root: &Root, name: &OsStr) -> bool {
    rustix::fs::readlinkat(root, name, Vec::new())
        .is_ok_and(|target| target.to_bytes() == link_to(name).as_os_str().as_bytes())
}

/// Removes links to files that are no more, and directories of files other than the current one. Leaves alone what is
/// not ours, such as the mount points of volumes that are mounted inside this one.
fn clean_up(root: &Root, payload: &Payload) -> Result<(), PayloadError> {
    let current = current(root)?;
    let names = payload.names();
    for name in list(root)? {
        let stale_version = is_version(&name) && Some(&name) != current.as_ref();
        if stale_version || name == DATA_NEW {
            root.remove_tree(Path::new(&name))?;
        } else if !names.contains(name.as_os_str()) && leads_to_data(root, &name) {
            rustix::fs::unlinkat(root, name.as_os_str(), AtFlags::empty()).map_err(failed(
                root,
                "remove the link",
                &name,
            ))?;
        }
    }
    Ok(())
}

fn list(root: &Root) -> Result<Vec<OsString>, PayloadError> {
    let entries = Dir::read_from(root.as_fd()).map_err(failed(root, "list", "."))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed(root, "list", "."))?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn failed(root: &Root, doing: &'static str, name: impl AsRef<OsStr>) -> impl FnOnce(Errno) -> PayloadError {
    let path = root.path().join(name.as_ref());
    move |errno| PayloadError::Io { doing, path, source: errno.into() }
}

#[cfg(test)]
mod tests;
