//! Watching directories (inotify).
//!
//! Only directories are watched, never files: programs that replace a file whole (rename over it, or swap the symlink
//! it is reached by) leave a watch on the file behind on something nobody sees any more.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use crate::PathError;
use crate::readable::readable;

/// How many changes are kept for a slow reader before they are given up for one [`ChangeKind::Rescan`].
const MAX_PENDING: usize = 1024;

/// What happened in a watched directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The name of the entry; `None` when it is the directory as a whole.
    pub name: Option<OsString>,
    /// What happened to it. Of several things that happened to one name since the last look, the last that matters.
    pub kind: ChangeKind,
}

/// The kinds of [`Change`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChangeKind {
    /// The name was made, or renamed to from elsewhere. A file just made may still be empty: [`ChangeKind::Written`]
    /// follows when its writer closes it.
    Appeared,
    /// A file that was open for writing was closed.
    Written,
    /// A file was written to or cut. Only told by [`DirWatch::with_modifications`].
    Modified,
    /// Mode, owner, times or number of links changed.
    Attributes,
    /// The name was removed, or renamed away.
    Vanished,
    /// Changes were lost: read the whole directory again.
    Rescan,
    /// The directory itself was removed, renamed or unmounted. Nothing comes after this.
    Gone,
}

/// A stream of what changes in one directory (not in those below it). Dropping it ends the watch.
#[derive(Debug)]
pub struct DirWatch {
    fd: AsyncFd<OwnedFd>,
    path: PathBuf,
    pending: VecDeque<Change>,
    ended: bool,
}

impl DirWatch {
    /// Starts to watch the directory `path`. Changes from now on are seen, so the order that misses nothing is: watch,
    /// then read the directory.
    ///
    /// # Errors
    /// If it is no directory, or the user's inotify instances or watches are used up (`ENOSPC`, `EMFILE`: sysctls
    /// `fs.inotify.max_user_watches` and `fs.inotify.max_user_instances`).
    ///
    /// # Panics
    /// Outside of a tokio runtime with I/O, as all of tokio's I/O.
    pub fn new(path: &Path) -> Result<Self, PathError> {
        Self::watching(path, WatchFlags::empty())
    }

    /// As [`DirWatch::new`], and every write to a file in it is told as [`ChangeKind::Modified`] as it happens: for
    /// files that are followed while somebody keeps them open.
    ///
    /// # Errors
    /// As [`DirWatch::new`].
    ///
    /// # Panics
    /// As [`DirWatch::new`].
    pub fn with_modifications(path: &Path) -> Result<Self, PathError> {
        Self::watching(path, WatchFlags::MODIFY)
    }

    fn watching(path: &Path, also: WatchFlags) -> Result<Self, PathError> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(PathError::on("watch", path))?;
        let what = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | also;
        inotify::add_watch(&fd, path, what | WatchFlags::ONLYDIR | WatchFlags::EXCL_UNLINK)
            .map_err(PathError::on("watch", path))?;
        let fd = readable(fd).map_err(PathError::on("watch", path))?;
        Ok(Self { fd, path: path.to_owned(), pending: VecDeque::new(), ended: false })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next change; `None` after [`ChangeKind::Gone`] or an error. May be cancelled without losing anything.
    pub async fn next(&mut self) -> Option<Result<Change, PathError>> {
        std::future::poll_fn(|cx| self.poll_change(cx)).await
    }

    fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Change, PathError>>> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Poll::Ready(Some(Ok(change)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let drained = match ready!(self.fd.poll_read_ready(cx)) {
                Ok(mut guard) => {
                    let drained = drain(guard.get_inner(), &mut self.pending, &mut self.ended);
                    guard.clear_ready();
                    drained
                }
                Err(e) => Err(e),
            };
            if let Err(e) = drained {
                self.ended = true;
                return Poll::Ready(Some(Err(PathError::on("read the changes of", &self.path)(e))));
            }
        }
    }
}

impl futures::Stream for DirWatch {
    type Item = Result<Change, PathError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_change(cx)
    }
}

/// Reads everything the kernel has for us.
fn drain(fd: &OwnedFd, pending: &mut VecDeque<Change>, ended: &mut bool) -> std::io::Result<()> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 8192];
    let mut events = inotify::Reader::new(fd, &mut buffer);
    loop {
        match events.next() {
            Ok(event) => {
                let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                if let Some(kind) = kind_of(event.events()).filter(|_| !*ended) {
                    *ended = kind == ChangeKind::Gone;
                    push(pending, name, kind);
                }
            }
            Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

fn kind_of(events: ReadFlags) -> Option<ChangeKind> {
    let any = |flags| events.intersects(flags);
    if any(ReadFlags::QUEUE_OVERFLOW) {
        Some(ChangeKind::Rescan)
    } else if any(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT | ReadFlags::IGNORED) {
        Some(ChangeKind::Gone)
    } else if any(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
        Some(ChangeKind::Vanished)
    } else if any(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
        Some(ChangeKind::Appeared)
    } else if any(ReadFlags::CLOSE_WRITE) {
        Some(ChangeKind::Written)
    } else if any(ReadFlags::MODIFY) {
        Some(ChangeKind::Modified)
    } else {
        any(ReadFlags::ATTRIB).then_some(ChangeKind::Attributes)
    }
}

/// Adds a change, together with what is already known about the same name.
fn push(pending: &mut VecDeque<Change>, name: Option<&OsStr>, kind: ChangeKind) {
    let whole = matches!(kind, ChangeKind::Rescan | ChangeKind::Gone);
    if whole {
        pending.clear();
    } else if pending.front().is_some_and(|first| first.kind == ChangeKind::Rescan) {
        return; // The reader will read the whole directory anyway.
    } else if let Some(at) = pending.iter().position(|change| change.name.as_deref() == name) {
        if matches!(kind, ChangeKind::Attributes | ChangeKind::Modified) {
            return; // Whatever came before says more, and makes the reader look anyway.
        }
        pending.remove(at);
    } else if pending.len() >= MAX_PENDING {
        pending.clear();
        pending.push_back(Change { name: None, kind: ChangeKind::Rescan });
        return;
    }
    pending.push_back(Change { name: name.filter(|_| !whole).map(OsStr::to_owned), kind });
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(watch: &mut DirWatch) -> (String, ChangeKind) {
        let change = watch.next().await.unwrap().unwrap();
        (change.name.unwrap_or_default().into_string().unwrap(), change.kind)
    }

    #[tokio::test]
    async fn changes_of_one_name_are_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut watch = DirWatch::new(dir.path()).unwrap();
        std::fs::write(dir.path().join("a"), "x").unwrap();
        std::fs::write(dir.path().join("b"), "x").unwrap();
        std::fs::rename(dir.path().join("b"), dir.path().join("c")).unwrap();
        std::fs::remove_file(dir.path().join("a")).unwrap();
        assert_eq!(next(&mut watch).await, ("b".into(), ChangeKind::Vanished));
        assert_eq!(next(&mut watch).await, ("c".into(), ChangeKind::Appeared));
        assert_eq!(next(&mut watch).await, ("a".into(), ChangeKind::Vanished));
    }

    #[tokio::test]
    async fn writes_are_told_while_the_file_is_open() {
        use std::io::Write;

        let dir = tempfile::tempdir().unwrap();
        let mut file = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut watch = DirWatch::with_modifications(dir.path()).unwrap();
        for _ in 0..3 {
            file.write_all(b"x").unwrap();
        }
        assert_eq!(next(&mut watch).await, ("log".into(), ChangeKind::Modified));
    }

    #[tokio::test]
    async fn a_swapped_symlink_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("..data");
        std::os::unix::fs::symlink("one", &link).unwrap();
        let mut watch = DirWatch::new(dir.path()).unwrap();
        std::os::unix::fs::symlink("two", dir.path().join("tmp")).unwrap();
        std::fs::rename(dir.path().join("tmp"), &link).unwrap();
        assert_eq!(next(&mut watch).await, ("tmp".into(), ChangeKind::Vanished));
        assert_eq!(next(&mut watch).await, ("..data".into(), ChangeKind::Appeared));
    }

    #[tokio::test]
    async fn the_end_of_the_directory_is_the_end_of_the_stream() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("sub");
        std::fs::create_dir(&sub).unwrap();
        let mut watch = DirWatch::new(&sub).unwrap();
        std::fs::write(sub.join("a"), "").unwrap();
        std::fs::remove_dir_all(&sub).unwrap();
        assert_eq!(next(&mut watch).await, (String::new(), ChangeKind::Gone));
        assert!(watch.next().await.is_none());
    }

    #[tokio::test]
    async fn files_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(DirWatch::new(file.path()).is_err());
    }

    #[test]
    fn too_much_becomes_one_rescan() {
        let mut pending = VecDeque::new();
        for n in 0..=MAX_PENDING {
            push(&mut pending, Some(OsStr::new(&n.to_string())), ChangeKind::Appeared);
        }
        push(&mut pending, Some(OsStr::new("late")), ChangeKind::Written);
        assert_eq!(pending, [Change { name: None, kind: ChangeKind::Rescan }]);
        push(&mut pending, None, ChangeKind::Gone);
        assert_eq!(pending, [Change { name: None, kind: ChangeKind::Gone }]);
    }
}
