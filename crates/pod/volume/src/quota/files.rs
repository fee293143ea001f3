//! Reading and writing `/etc/projects` and `/etc/projid`.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use linux::PathError;
use rustix::fs::{FlockOperation, OFlags, flock};

use super::projects::Projects;

/// What may be read of a file.
const LIMIT: u64 = 10 << 20;
const MODE: u32 = 0o644;

/// Where the two files are.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// `/etc/projects`.
    pub(super) directories: PathBuf,
    /// `/etc/projid`.
    pub(super) names: PathBuf,
    /// Whose turn it is to change them, of the threads of this process.
    turn: Arc<Mutex<()>>,
}

impl Files {
    /// Those of the machine.
    pub(super) fn of_the_machine() -> Self {
        Self::at("/etc/projects".into(), "/etc/projid".into())
    }

    /// Others in their place.
    pub(super) fn at(directories: PathBuf, names: PathBuf) -> Self {
        Self { directories, names, turn: Arc::default() }
    }

    /// What is in them; nothing in one that is not there.
    pub(super) fn read(&self) -> Result<Projects, PathError> {
        let content = |path: &Path| match open(path, false) {
            Ok(file) => content(&file, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        };
        Ok(Projects { directories: content(&self.directories)?, names: content(&self.names)? })
    }

    /// Changes what is in them. Nobody else who locks them does so meanwhile; a program that has locked them is not waited
    /// for. Each file is replaced as a whole: a crash leaves it as it was. Between the two, a project can have a directory
    /// and no name, and no name alone.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Projects) -> T) -> Result<T, PathError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let (directories, names) = (Locked::at(&self.directories)?, Locked::at(&self.names)?);
        let before = Projects {
            directories: content(&directories.0, &self.directories)?,
            names: content(&names.0, &self.names)?,
        };
        let mut now = before.clone();
        let result = change(&mut now);
        let write_names = || {
            if now.names == before.names { Ok(()) } else { replace(&self.names, &names.0, &now.names) }
        };
        let write_directories = || {
            let same = now.directories == before.directories;
            if same { Ok(()) } else { replace(&self.directories, &directories.0, &now.directories) }
        };
        if now.names.len() < before.names.len() {
            write_names()?;
            write_directories()?;
        } else {
            write_directories()?;
            write_names()?;
        }
        Ok(result)
    }
}

fn open(path: &Path, create: bool) -> Result<File, PathError> {
    // Not through a link, and without waiting for whom a pipe is for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = File::options();
    options.read(true).write(create).create(create).mode(MODE).custom_flags(flags.bits().cast_signed());
    let file = options.open(path).map_err(PathError::on("open", path))?;
    if file.metadata().map_err(PathError::on("stat", path))?.is_file() {
        Ok(file)
    } else {
        Err(PathError::on("use", path)(io::Error::other("it is not a plain file")))
    }
}

/// A file that nobody else has locked.
struct Locked(File);

impl Locked {
    fn at(path: &Path) -> Result<Self, PathError> {
        loop {
            let file = open(path, true)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(PathError::on("lock", path))?;
            let locked = Self(file);
            let own = locked.0.metadata().map_err(PathError::on("stat", path))?;
            // Whoever had the lock may have replaced it: then it is the new one that counts.
            match fs::symlink_metadata(path) {
                Ok(there) if (there.dev(), there.ino()) == (own.dev(), own.ino()) => return Ok(locked),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(PathError::on("stat", path)(error)),
            }
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // A child that is just being started has the file too: closing it would not unlock it.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

fn content(file: &File, path: &Path) -> Result<Vec<u8>, PathError> {
    let mut content = Vec::new();
    let read = file.take(LIMIT + 1).read_to_end(&mut content).map_err(PathError::on("read", path))?;
    if u64::try_from(read).is_ok_and(|read| read <= LIMIT) {
        Ok(content)
    } else {
        Err(PathError::on("read", path)(io::Error::other("it is larger than 10 MiB")))
    }
}

/// Puts `content` in the place of the file at `path`, which is open as `old`.
fn replace(path: &Path, old: &File, content: &[u8]) -> Result<(), PathError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".berth");
    let unfinished = PathBuf::from(name);
    let meta = old.metadata().map_err(PathError::on("stat", path))?;
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(PathError::on("remove", &unfinished)(error));
        }
        _ => {}
    }
    let failed = || PathError::on("write", &unfinished);
    let mut file =
        File::options().write(true).create_new(true).mode(MODE).open(&unfinished).map_err(failed())?;
    file.write_all(content).map_err(failed())?;
    file.set_permissions(fs::Permissions::from_mode(meta.mode() & 0o7777)).map_err(failed())?;
    file.sync_all().map_err(failed())?;
    fs::rename(&unfinished, path).map_err(PathError::on("replace", path))
}

#[cfg(test)]
mod tests {
    use linux::projectquota::ProjectId;

    use super::*;

    fn files(dir: &Path) -> Files {
        Files::at(dir.join("projects"), dir.join("projid"))
    }

    #[test]
    fn made_when_they_are_not_there_and_their_mode_kept() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        assert_eq!(files.read().unwrap(), Projects::default());
        assert!(files.change(|projects| projects.add(Path::new("/v"), ProjectId(5))).unwrap());
        assert_eq!(files.read().unwrap().of(Path::new("/v")), Some(ProjectId(5)));
        linux::fs::chmod(&files.names, 0o600).unwrap();
        files.change(|projects| projects.remove(Path::new("/v"))).unwrap();
        assert_eq!(files.read().unwrap(), Projects::default());
        assert_eq!(fs::metadata(&files.names).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing unfinished is left");
    }

    #[test]
    fn what_many_write_at_once_is_all_there() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        std::thread::scope(|scope| {
            for n in 0..8 {
                let files = &files;
                scope.spawn(move || {
                    for m in 0..5 {
                        let add = |projects: &mut Projects| {
                            let free = projects.free(&Default::default()).unwrap();
                            projects.add(&Path::new("/v").join(format!("{n}.{m}")), free)
                        };
                        assert!(files.change(add).unwrap());
                    }
                });
            }
        });
        let projects = files.read().unwrap();
        let ids: std::collections::BTreeSet<_> = projects.directories().map(|(id, _)| id).collect();
        assert_eq!((ids.len(), projects.directories().count()), (40, 40));
    }

    #[test]
    fn a_program_that_has_locked_them_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let other = open(&files.directories, true).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        let add = |projects: &mut Projects| projects.add(Path::new("/v"), ProjectId(5));
        assert_eq!(files.change(add).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        flock(&other, FlockOperation::Unlock).unwrap();
        assert!(files.change(add).unwrap());
    }

    #[test]
    fn no_link_is_followed_and_no_pipe_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let outside = dir.path().join("outside");
        fs::write(&outside, "kept").unwrap();
        std::os::unix::fs::symlink(&outside, &files.directories).unwrap();
        assert!(files.change(|projects| projects.add(Path::new("/v"), ProjectId(5))).is_err());
        assert_eq!(fs::read(&outside).unwrap(), b"kept");
        fs::remove_file(&files.directories).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &files.directories, fifo, 0o600.into(), 0).unwrap();
        assert!(files.read().is_err());
    }
}
