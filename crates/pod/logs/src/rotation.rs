//! Rotation of container logs (`containerLogMaxSize`, `containerLogMaxFiles`): which files go, which are compressed, and
//! how a file that is being written is put aside.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Zoned;
use types::ContainerId;

use crate::file::{self, GZ, TMP};

/// When to rotate, and what to keep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RotationPolicy {
    /// A file of that many bytes is rotated (`containerLogMaxSize`); `None` turns rotation off.
    pub max_bytes: Option<u64>,
    /// How many files a container may have, the one that is written included; at least 2 (`containerLogMaxFiles`).
    pub max_files: usize,
}

impl Default for RotationPolicy {
    fn default() -> Self {
        Self { max_bytes: Some(10 << 20), max_files: 5 }
    }
}

/// What to do with files that were rotated earlier, before the next one is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Files to delete: left over from a compression that broke off, compressed already, or too many.
    pub remove: Vec<String>,
    /// Files to compress.
    pub compress: Vec<String>,
}

/// Decides from the names of the files rotated earlier. Room is left for the file about to be rotated and for the one
/// that is written after it.
#[must_use]
pub fn plan(names: &[String], max_files: usize) -> Plan {
    let is_compressed = |name: &str| names.iter().any(|other| other.strip_suffix(GZ) == Some(name));
    let (mut remove, mut keep): (Vec<String>, Vec<String>) =
        names.iter().cloned().partition(|name| name.ends_with(TMP) || is_compressed(name));
    // Names end in the time; a compressed file sorts right after where its original was.
    keep.sort();
    let surplus = keep.len().saturating_sub(max_files.saturating_sub(2));
    remove.extend(keep.drain(..surplus));
    keep.retain(|name| !name.ends_with(GZ));
    Plan { remove, compress: keep }
}

/// Why a log was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// A file operation failed.
    #[error("could not {action} the container log {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The runtime did not open a new file. The old one was put back.
    #[error("the runtime did not reopen the log {} of container {container}: {message}", path.display())]
    Reopen {
        /// Whose log it is.
        container: ContainerId,
        /// The log.
        path: PathBuf,
        /// The runtime's words.
        message: String,
    },
    /// The thread that worked on the files panicked, or the program is ending.
    #[error("rotating the container log {} was given up", path.display())]
    Abandoned {
        /// The log.
        path: PathBuf,
    },
}

impl RotationError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// What a look at a log file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Finding {
    /// Nothing to do.
    Small,
    /// It is not there: rotation broke off after the rename, or somebody removed it.
    Missing,
    /// It was renamed to this, and the runtime has to open a new one.
    Aside(PathBuf),
}

/// Looks at the log, and if it is large enough cleans up after earlier rotations and renames it. Blocking; compression
/// takes about a second per 50 MB.
pub(crate) fn put_aside(log: &Path, policy: RotationPolicy, now: &Zoned) -> Result<Finding, RotationError> {
    let Some(max_bytes) = policy.max_bytes else { return Ok(Finding::Small) };
    let size = match fs::symlink_metadata(log) {
        Ok(metadata) if metadata.is_symlink() => {
            return Err(RotationError::io("rotate", log)(file::link_refused()));
        }
        Ok(metadata) => metadata.size(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Finding::Missing),
        Err(error) => return Err(RotationError::io("look at", log)(error)),
    };
    if size < max_bytes {
        return Ok(Finding::Small);
    }
    let names = file::rotated(log).map_err(RotationError::io("list the files of", log))?;
    let plan = plan(&names, policy.max_files);
    for name in &plan.remove {
        remove(&log.with_file_name(name))?;
    }
    for name in &plan.compress {
        let path = log.with_file_name(name);
        compress(&path).map_err(RotationError::io("compress", &path))?;
    }
    let aside = with_ending(log, &format!(".{}", now.strftime("%Y%m%d-%H%M%S")));
    if aside.exists() || with_ending(&aside, GZ).exists() {
        // Twice within a second, or the clock was set back: the next look has another name.
        return Ok(Finding::Small);
    }
    fs::rename(log, &aside).map_err(RotationError::io("rename", log))?;
    Ok(Finding::Aside(aside))
}

/// Undoes [`put_aside`], for a runtime that goes on writing to the file it has open.
pub(crate) fn put_back(log: &Path, aside: &Path) -> Result<(), RotationError> {
    if log.exists() {
        return Ok(());
    }
    fs::rename(aside, log).map_err(RotationError::io("rename back", log))
}

/// Removes a container's log with everything rotated away from it.
///
/// # Errors
/// If a file is there and cannot be removed.
pub fn remove_all(log: &Path) -> Result<(), RotationError> {
    let names = file::rotated(log).map_err(RotationError::io("list the files of", log))?;
    for name in names {
        remove(&log.with_file_name(name))?;
    }
    remove(log)
}

fn remove(path: &Path) -> Result<(), RotationError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(RotationError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Makes `<path>.gz` of `path`, by way of `<path>.tmp`, so that whatever ends in `.gz` is whole.
fn compress(path: &Path) -> io::Result<()> {
    let mut from = file::open(path)?;
    let mode = from.metadata()?.mode() & 0o7777;
    let temporary = with_ending(path, TMP);
    // What an earlier compression left there is gone, by the plan. A link that was put there since is not written
    // through: a file that has to be new is not made behind one.
    let to = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    let finished =
        write_compressed(&mut from, to).and_then(|()| fs::rename(&temporary, with_ending(path, GZ)));
    if finished.is_err() {
        // The plan of the next rotation removes it as well.
        let _ = fs::remove_file(&temporary);
    }
    finished?;
    fs::remove_file(path)
}

fn write_compressed(from: &mut File, to: File) -> io::Result<()> {
    let mut encoder = GzEncoder::new(to, Compression::default());
    io::copy(from, &mut encoder)?;
    encoder.finish()?.sync_all()
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn plans() {
        for (present, max_files, remove, compress) in [
            (&[][..], 5, &[][..], &[][..]),
            (&["a.1"], 5, &[], &["a.1"]),
            (&["a.1.gz", "a.2.gz", "a.3.gz", "a.4"], 5, &["a.1.gz"], &["a.4"]),
            (&["a.1", "a.1.gz", "a.2.tmp", "a.2"], 5, &["a.1", "a.2.tmp"], &["a.2"]),
            (&["a.1.gz", "a.2"], 2, &["a.1.gz", "a.2"], &[]),
            (&["a.2", "a.1"], 3, &["a.1"], &["a.2"]),
        ] {
            let expected = Plan { remove: names(remove), compress: names(compress) };
            assert_eq!(plan(&names(present), max_files), expected, "{present:?} {max_files}");
        }
    }

    proptest! {
        #[test]
        fn never_more_files_than_allowed(
            stamps in prop::collection::btree_set(0..40u32, 0..20),
            gz in prop::collection::vec(any::<bool>(), 20),
            max_files in 2..10usize,
        ) {
            let present: Vec<String> = stamps.iter().zip(&gz)
                .map(|(n, gz)| format!("0.log.{n:03}{}", if *gz { GZ } else { "" })).collect();
            let plan = plan(&present, max_files);
            let kept: Vec<&String> = present.iter().filter(|name| !plan.remove.contains(name)).collect();
            // With the file about to be rotated and the one that is written after it.
            prop_assert!(kept.len() + 2 <= max_files);
            prop_assert_eq!(kept.len(), present.len().min(max_files - 2));
            // The oldest go first.
            prop_assert!(plan.remove.iter().all(|gone| kept.iter().all(|kept| gone < *kept)));
        }
    }

    #[test]
    fn a_large_log_is_put_aside_and_the_one_before_it_compressed() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("0.log");
        let policy = RotationPolicy { max_bytes: Some(10), max_files: 3 };
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().to_zoned(jiff::tz::TimeZone::UTC);

        assert_eq!(put_aside(&log, policy, &at("2024-01-31T10:00:00Z")).unwrap(), Finding::Missing);
        fs::write(&log, "short").unwrap();
        assert_eq!(put_aside(&log, policy, &at("2024-01-31T10:00:00Z")).unwrap(), Finding::Small);
        fs::write(&log, "the first ten").unwrap();
        let first = dir.path().join("0.log.20240131-100000");
        assert_eq!(
            put_aside(&log, policy, &at("2024-01-31T10:00:00Z")).unwrap(),
            Finding::Aside(first.clone())
        );
        fs::write(&log, "the second ten").unwrap();
        let second = dir.path().join("0.log.20240131-100500");
        let aside = put_aside(&log, policy, &at("2024-01-31T10:05:00Z")).unwrap();
        assert_eq!(aside, Finding::Aside(second.clone()));
        let mut text = String::new();
        let gz = File::open(dir.path().join("0.log.20240131-100000.gz")).unwrap();
        flate2::read::GzDecoder::new(gz).read_to_string(&mut text).unwrap();
        assert_eq!(text, "the first ten");
        assert!(!first.exists() && !log.exists());

        put_back(&log, &second).unwrap();
        assert_eq!(fs::read_to_string(&log).unwrap(), "the second ten");
        fs::write(dir.path().join("1.log"), "another container's").unwrap();
        remove_all(&log).unwrap();
        remove_all(&log).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        remove_all(&dir.path().join("gone/0.log")).unwrap();
    }

    #[test]
    fn links_in_the_place_of_logs_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret");
        fs::write(&secret, "of the node").unwrap();
        fs::create_dir(dir.path().join("real")).unwrap();
        symlink("real", dir.path().join("pod")).unwrap();
        let pod = dir.path().join("pod");
        let log = pod.join("0.log");
        let policy = RotationPolicy { max_bytes: Some(5), max_files: 5 };
        let now = Zoned::now();
        let refused = |error: RotationError, action: &str| {
            let said = std::error::Error::source(&error).unwrap().to_string();
            assert!(error.to_string().contains(action) && said.contains("symbolic link"), "{error}: {said}");
        };

        symlink(&secret, &log).unwrap();
        refused(put_aside(&log, policy, &now).unwrap_err(), "rotate");
        let said = file::open(&log).unwrap_err().to_string();
        assert!(said.contains("symbolic link"), "{said}");

        // The pod's directory may be a link, and what a broken compression left there goes.
        fs::remove_file(&log).unwrap();
        fs::write(&log, "long enough").unwrap();
        let old = pod.join("0.log.20240101-000000");
        fs::write(&old, "old").unwrap();
        symlink(&secret, with_ending(&old, TMP)).unwrap();
        assert!(matches!(put_aside(&log, policy, &now).unwrap(), Finding::Aside(_)));
        assert!(with_ending(&old, GZ).exists() && !old.exists());

        // One that comes after the plan was made.
        fs::write(&old, "old").unwrap();
        symlink(&secret, with_ending(&old, TMP)).unwrap();
        assert_eq!(compress(&old).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&secret).unwrap(), "of the node");

        for name in [&old, &with_ending(&old, GZ)] {
            fs::remove_file(name).unwrap();
        }
        symlink(&secret, &old).unwrap();
        fs::write(&log, "long enough").unwrap();
        refused(put_aside(&log, policy, &now).unwrap_err(), "compress");
        assert!(!with_ending(&old, GZ).exists());
    }

    #[test]
    fn rotation_can_be_off() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "text").unwrap();
        let policy = RotationPolicy { max_bytes: None, max_files: 5 };
        assert_eq!(put_aside(file.path(), policy, &Zoned::now()).unwrap(), Finding::Small);
    }
}
