//! Files that are written whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Writes `bytes` to `path` with the permissions `mode` (the umask does not apply), so that after a crash at any
/// instant there is either the old file or the new one. The new content is on the disk when this returns.
///
/// It goes to a file beside it first (`.NAME.new`), which a crash may leave behind and the next write replaces; so one
/// path must not be written by two at once.
///
/// Blocks; call it from a blocking thread unless the file system is known to be quick.
///
/// # Errors
/// As the file system answers. The file at `path` is untouched then.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (dir, temp) = beside(path)?;
    match fs::remove_file(&temp) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_new(&temp, bytes, mode).and_then(|()| fs::rename(&temp, path));
    if let Err(error) = written {
        // What went wrong first is what counts.
        let _ = fs::remove_file(&temp);
        return Err(error);
    }
    // Without this a crash may undo the rename.
    File::open(dir)?.sync_all()
}

fn beside(path: &Path) -> io::Result<(&Path, PathBuf)> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temp = OsString::from(".");
    temp.push(name);
    temp.push(".new");
    Ok((dir, dir.join(temp)))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // Never opens what is there, be it a link: the name is expected to be free.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode & 0o700).open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<OsString> {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_content_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        write_atomic(&path, b"one", 0o600).unwrap();
        write_atomic(&path, b"two", 0o666).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o666);
        assert_eq!(names(dir.path()), ["state"]);
    }

    #[test]
    fn what_a_crash_left_is_replaced_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let precious = dir.path().join("precious");
        fs::write(&precious, "keep").unwrap();
        std::os::unix::fs::symlink(&precious, dir.path().join(".state.new")).unwrap();
        write_atomic(&dir.path().join("state"), b"new", 0o644).unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"keep");
        assert_eq!(names(dir.path()), ["precious", "state"]);
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "").unwrap();
        write_atomic(&path, b"new", 0o644).unwrap_err();
        assert_eq!(names(dir.path()), ["taken"]);
        assert_eq!(write_atomic(Path::new("/"), b"", 0o644).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
