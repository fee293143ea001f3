//! Running commands that may hang, one at a time for each volume and device, also over a restart of berth.
//!
//! A command's standard input is an empty file that it has a lock on, so for as long as it runs, whoever started it,
//! everybody can see that it does. What it says goes into memory of its own: the end of a pipe would end it in the middle of
//! its work when berth is killed.

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use linux::PathError;
use linux::mountinfo::MountTable;
use rustix::fs::{FlockOperation, MemfdFlags, SealFlags, SeekFrom};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use sha2::{Digest, Sha256};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::command::Command;

/// The most of a command's output that is kept, in bytes.
const OUTPUT_LIMIT: usize = 64 << 10;

/// How long the end of a command that was killed is waited for. In the kernel it may not come.
const END: Duration = Duration::from_secs(1);

/// What is written into the file of a command begins here, so that the command itself finds its input empty.
const NOTE_LIMIT: u64 = 4096;

/// A command was not run, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no such program.
    #[error("{program:?} is not in the search path {search_path:?}: install it on the node ({hint})")]
    NotFound {
        /// The program.
        program: OsString,
        /// Where it was looked for.
        search_path: OsString,
        /// What brings it.
        hint: &'static str,
    },
    /// An earlier one still runs.
    #[error("an earlier command still runs ({0}); it is waited for: look at what holds it up")]
    StillRuns(String),
    /// It has not ended in time, and goes on.
    #[error("`{command}` has not ended within {deadline:?}; it goes on in the background")]
    Late {
        /// The command.
        command: Command,
        /// How long it was waited for.
        deadline: Duration,
    },
    /// It could not be started.
    #[error("`{command}` could not be started")]
    Start {
        /// The command.
        command: Command,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file that says that it runs.
    #[error(transparent)]
    File(#[from] PathError),
    /// It failed.
    #[error("`{command}` failed with {}: {output}", status_text(*.status))]
    Failed {
        /// The command.
        command: Command,
        /// Its exit status; none if it was killed.
        status: Option<i32>,
        /// What it said.
        output: Said,
    },
}

impl CommandError {
    /// The exit status that it failed with.
    pub(crate) fn status(&self) -> Option<i32> {
        match self {
            Self::Failed { status, .. } => *status,
            _ => None,
        }
    }
}

/// What a command has said. Shown only if the command was told no secret, which it may have repeated.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Said {
    text: String,
    is_secret: bool,
}

impl Said {
    /// All of it.
    pub(crate) fn exposed(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_secret {
            "(it was told a secret, so its words are not shown)"
        } else {
            &self.text
        })
    }
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn status_text(status: Option<i32>) -> String {
    status.map_or_else(|| "a signal".to_owned(), |status| format!("exit status {status}"))
}

/// What brings a program, for those that a node may lack.
fn hint(program: &str) -> &'static str {
    match program {
        "iscsiadm" => "package open-iscsi or iscsi-initiator-utils",
        "multipath" => "package multipath-tools or device-mapper-multipath",
        "mkfs.xfs" => "package xfsprogs",
        _ => "with the operating system's package manager",
    }
}

/// For what a command is run: no two for the same at a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Key(String);

impl Key {
    /// For what is at `path`.
    pub(crate) fn of(path: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt as _;
        let hash = Sha256::digest(path.as_os_str().as_bytes());
        Self(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Runs commands. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Commands {
    dir: PathBuf,
    search_path: OsString,
    /// How many ended that were waited for no longer.
    late_ends: watch::Sender<u64>,
    /// Held while files are looked at, made and removed: between the two, a name could become another file's.
    files: Arc<Mutex<()>>,
}

impl Commands {
    /// Commands that are looked for in `search_path`, and whose files are in `dir`.
    pub(crate) fn new(dir: PathBuf, search_path: OsString) -> Self {
        Self { dir, search_path, late_ends: watch::Sender::default(), files: Arc::default() }
    }

    /// How many commands ended that were waited for no longer, as that changes.
    pub(crate) fn late_ends(&self) -> watch::Receiver<u64> {
        self.late_ends.subscribe()
    }

    /// What still runs for each of `keys`, and what is mounted then. In the other order, what ends between the two would be
    /// seen in neither, and be done twice.
    ///
    /// # Errors
    /// As the file system answers.
    pub(crate) fn look<const N: usize>(
        &self,
        keys: [Option<Key>; N],
    ) -> Result<([Option<String>; N], MountTable), PathError> {
        let mut running = [const { None }; N];
        for (running, key) in running.iter_mut().zip(&keys) {
            *running = key.as_ref().map(|key| self.running(key)).transpose()?.flatten();
        }
        Ok((running, MountTable::read()?))
    }

    /// What still runs for `key`; none if nothing does.
    ///
    /// # Errors
    /// As the file system answers.
    pub(crate) fn running(&self, key: &Key) -> Result<Option<String>, PathError> {
        let path = self.dir.join(&key.0);
        let _only = hold(&self.files);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(PathError::on("open", &path))?,
        };
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {
                // It was left by a command that berth did not see end.
                let _ = fs::remove_file(&path);
                Ok(None)
            }
            Err(Errno::WOULDBLOCK) => Ok(who(&file)),
            Err(errno) => Err(PathError::on("lock", &path)(errno)),
        }
    }

    /// Runs `command` for `key`, and returns what it said. It is waited for until `deadline` is over, and then goes on; so
    /// it does when this is dropped.
    ///
    /// # Errors
    /// If it could not be run, has not ended, or failed.
    pub(crate) async fn run(
        &self,
        key: &Key,
        command: &Command,
        deadline: Duration,
    ) -> Result<String, CommandError> {
        self.start(key, command, deadline, None).await
    }

    /// As [`Commands::run`], and after `deadline` it is killed with its helpers: for a command that does no harm when it is
    /// cut short.
    ///
    /// # Errors
    /// As [`Commands::run`].
    pub(crate) async fn run_or_kill(
        &self,
        key: &Key,
        command: &Command,
        deadline: Duration,
    ) -> Result<String, CommandError> {
        self.start(key, command, deadline, Some(deadline)).await
    }

    async fn start(
        &self,
        key: &Key,
        command: &Command,
        deadline: Duration,
        killed_after: Option<Duration>,
    ) -> Result<String, CommandError> {
        let program = self.find(command)?;
        let (lock, path) = self.lock(key)?;
        let failed = |source| CommandError::Start { command: command.clone(), source };
        let memory = rustix::fs::memfd_create("output", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
        let output = memory.map(File::from).map_err(|errno| failed(errno.into()))?;
        let mut process = tokio::process::Command::new(&program);
        process.args(command.exposed()).env("PATH", &self.search_path);
        // It is killed with its helpers, and by no interrupt that is meant for berth.
        process.process_group(0);
        process.stdin(Stdio::from(lock.try_clone().map_err(failed)?));
        process.stdout(Stdio::from(output.try_clone().map_err(failed)?));
        process.stderr(Stdio::from(output.try_clone().map_err(failed)?));
        let child = process.spawn().map_err(failed)?;
        let mut note = format!("{} {command}", child.id().unwrap_or_default()).into_bytes();
        note.truncate(NOTE_LIMIT as usize);
        // Without it the lock still says that something runs.
        let _ = lock.write_all_at(&note, 0);
        let (told, ended) = oneshot::channel();
        let (late_ends, files) = (self.late_ends.clone(), Arc::clone(&self.files));
        // It goes on when nobody waits any more: somebody has to see the command's end.
        tokio::spawn(async move {
            let result = attend(child, &output, killed_after).await;
            // Nobody else waits for what it may have left behind.
            remove(&files, &lock, &path);
            drop(lock);
            if told.send(result).is_err() {
                late_ends.send_modify(|count| *count += 1);
            }
        });
        let late = || CommandError::Late { command: command.clone(), deadline };
        let patience = if killed_after.is_some() { deadline + END } else { deadline };
        let ended = timeout(patience, ended).await.map_err(|_| late())?;
        let Ok(result) = ended else { return Err(late()) };
        match result.map_err(failed)? {
            Ended::Late => Err(late()),
            Ended::With(Some(0), output) => Ok(output),
            Ended::With(status, output) => {
                let output = Said { text: output.trim().to_owned(), is_secret: command.has_secret() };
                Err(CommandError::Failed { command: command.clone(), status, output })
            }
        }
    }

    fn find(&self, command: &Command) -> Result<PathBuf, CommandError> {
        let name = Path::new(&command.program);
        // A path stays what it is when it is joined.
        let mut all = std::env::split_paths(&self.search_path).map(|dir| dir.join(name));
        let is_there = |path: &PathBuf| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok();
        all.find(is_there).ok_or_else(|| CommandError::NotFound {
            program: command.program.clone(),
            search_path: self.search_path.clone(),
            hint: hint(&command.program.to_string_lossy()),
        })
    }

    /// The file of `key`, locked.
    fn lock(&self, key: &Key) -> Result<(File, PathBuf), CommandError> {
        linux::fs::create_dir_all(&self.dir, 0o700)?;
        let path = self.dir.join(&key.0);
        let _only = hold(&self.files);
        loop {
            let open = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path);
            let file = open.map_err(PathError::on("open", &path))?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => match who(&file) {
                    Some(running) => return Err(CommandError::StillRuns(running)),
                    // What the command has left behind keeps this file; the next one gets another.
                    None => {
                        let _ = fs::remove_file(&path);
                        continue;
                    }
                },
                Err(errno) => return Err(PathError::on("lock", &path)(errno).into()),
            }
            // A berth that this one takes the place of, and that is ending, may have removed it between the two.
            if is_at(&file, &path) {
                file.set_len(0).map_err(PathError::on("empty", &path))?;
                rustix::fs::seek(&file, SeekFrom::Start(NOTE_LIMIT)).map_err(PathError::on("seek", &path))?;
                return Ok((file, path));
            }
        }
    }
}

fn hold(files: &Mutex<()>) -> MutexGuard<'_, ()> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes `file` at `path`, unless the next command has a file of its own there already.
fn remove(files: &Mutex<()>, file: &File, path: &Path) {
    let _only = hold(files);
    if is_at(file, path) {
        let _ = fs::remove_file(path);
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|own| own.ino() == now.ino()))
}

/// Which command has the lock on `file`; none if it has ended, and only what it has left behind still has it.
fn who(file: &File) -> Option<String> {
    let mut note = vec![0; NOTE_LIMIT as usize];
    let length = file.read_at(&mut note, 0).unwrap_or(0);
    let note = String::from_utf8_lossy(&note[..length]);
    match note.split_once(' ') {
        Some((process, _)) if !Path::new("/proc").join(process).exists() => None,
        Some((process, command)) => Some(format!("`{command}`, process {process}")),
        None => Some("of which no more is known".to_owned()),
    }
}

enum Ended {
    With(Option<i32>, String),
    Late,
}

/// Waits until a command ends, and reads what it has said. Killed after a while, if it may be.
async fn attend(
    mut child: tokio::process::Child,
    output: &File,
    killed_after: Option<Duration>,
) -> io::Result<Ended> {
    let ended = match killed_after {
        Some(after) => timeout(after, child.wait()).await.ok(),
        None => Some(child.wait().await),
    };
    let Some(status) = ended else {
        let group = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(group) = group {
            // One that ends at this moment needs no signal.
            let _ = kill_process_group(group, Signal::KILL);
        }
        child.wait().await?;
        return Ok(Ended::Late);
    };
    let mut said = vec![0; OUTPUT_LIMIT];
    let length = read_start(output, &mut said)?;
    // What it has left behind may go on saying something; that takes no memory any more.
    output.set_len(0)?;
    rustix::fs::fcntl_add_seals(output, SealFlags::GROW)?;
    Ok(Ended::With(status?.code(), String::from_utf8_lossy(&said[..length]).into_owned()))
}

/// Fills `bytes` with what is at the start of the file, and returns how many that are.
fn read_start(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    loop {
        match file.read_at(&mut bytes[length..], length as u64)? {
            0 => return Ok(length),
            more => length += more,
        }
    }
}

#[cfg(test)]
mod tests;
