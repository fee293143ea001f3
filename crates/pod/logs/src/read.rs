//! Reading a log, and following it while it is written and rotated.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use linux::watch::{ChangeKind, DirWatch};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use crate::file::{self, Identity, successor};
use crate::{Decoder, LogOptions, tail_offset};

/// How much is read at once, and about how much one piece of the output has.
const PIECE: usize = 32 * 1024;
/// How often a file is looked at while it is followed on a node whose inotify watches are used up.
const SLOW_LOOK: Duration = Duration::from_secs(1);

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("could not read the container log {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No line of the file is a record of a CRI runtime.
    #[error(
        "{} is not in the log format of CRI runtimes (`<time> stdout|stderr F|P <text>`): if another runtime wrote it, read it with that one's tools",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
    },
    /// The thread that read panicked, or the program is ending.
    #[error("reading the container log {} was given up", path.display())]
    Abandoned {
        /// The file.
        path: PathBuf,
    },
}

/// One pass over a container's log. Memory is constant, whatever the length of file and lines.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    /// The open file; elsewhere while a piece is read.
    source: Option<Box<Source>>,
    reading: Option<JoinHandle<(Box<Source>, io::Result<Look>)>>,
    follow: Option<Follow>,
    done: bool,
}

#[derive(Debug)]
struct Follow {
    /// Becomes true when the container has ended and nothing will be written any more.
    ended: watch::Receiver<bool>,
    /// `None` where inotify has no more room.
    watch: Option<DirWatch>,
    /// The container's end was seen, and what was there then is being read.
    last_look: bool,
}

/// What one look at the file gave.
#[derive(Debug)]
enum Look {
    /// A piece of the log.
    Text(Vec<u8>),
    /// Nothing to hand out yet, but more of the file to read.
    More,
    /// Everything there is was read.
    End,
    /// `limit_bytes` is reached.
    Full,
}

impl LogReader {
    /// Opens the log file `path`, to read what is there now.
    ///
    /// # Errors
    /// If the file is missing or cannot be read.
    pub async fn open(path: &Path, options: LogOptions) -> Result<Self, ReadError> {
        let opened = {
            let path = path.to_owned();
            spawn_blocking(move || Source::open(path, options)).await
        };
        let source = opened.map_err(|_| ReadError::Abandoned { path: path.to_owned() })?;
        let source = source.map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), source: Some(source), reading: None, follow: None, done: false })
    }

    /// Opens the log file `path`, to read what is there and what is added, across rotations, until `ended` says true (or
    /// is dropped) and everything is read.
    ///
    /// # Errors
    /// If the file is missing or cannot be read.
    pub async fn follow(
        path: &Path,
        options: LogOptions,
        ended: watch::Receiver<bool>,
    ) -> Result<Self, ReadError> {
        // The watch comes first, so that nothing that is written after the first look is missed.
        let watch = match DirWatch::with_modifications(path.parent().unwrap_or(Path::new("/"))) {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, cause = %error.source,
                    "The log is looked at once a second, because its directory cannot be watched");
                None
            }
        };
        let reader = Self::open(path, options).await?;
        Ok(Self { follow: Some(Follow { ended, watch, last_look: false }), ..reader })
    }

    /// The next piece of the log; `None` at its end. May be cancelled without losing anything.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, ReadError>> {
        while !self.done {
            match self.look().await {
                Ok(Look::Text(text)) => return Some(Ok(text)),
                Ok(Look::More) => {}
                Ok(Look::Full) => self.done = true,
                Ok(Look::End) => match &mut self.follow {
                    None => self.done = true,
                    Some(follow) if follow.last_look => self.done = true,
                    Some(follow) => follow.wait().await,
                },
                Err(error) => {
                    self.done = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// The pieces as a stream.
    pub fn into_stream(self) -> impl futures::Stream<Item = Result<Vec<u8>, ReadError>> + Send {
        futures::stream::unfold(self, |mut reader| async { reader.next().await.map(|piece| (piece, reader)) })
    }

    async fn look(&mut self) -> Result<Look, ReadError> {
        let following = self.follow.is_some();
        if let Some(mut source) = self.source.take() {
            self.reading = Some(spawn_blocking(move || {
                let look = source.look(following);
                (source, look)
            }));
        }
        let abandoned = || ReadError::Abandoned { path: self.path.clone() };
        let Some(reading) = &mut self.reading else { return Err(abandoned()) };
        let finished = reading.await;
        self.reading = None;
        let (source, look) = finished.map_err(|_| abandoned())?;
        let foreign = source.is_foreign();
        self.source = Some(source);
        match look {
            Ok(Look::End) if foreign => Err(ReadError::Format { path: self.path.clone() }),
            look => look.map_err(|source| ReadError::Io { path: self.path.clone(), source }),
        }
    }
}

impl Follow {
    /// Waits until there may be more to read, or the container has ended.
    async fn wait(&mut self) {
        let Self { ended, watch, last_look } = self;
        if *ended.borrow_and_update() {
            *last_look = true;
            return;
        }
        tokio::select! {
            changed = ended.changed() => *last_look = changed.is_err() || *ended.borrow(),
            () = changed(watch) => {}
        }
    }
}

async fn changed(watch: &mut Option<DirWatch>) {
    let Some(watched) = watch else { return sleep(SLOW_LOOK).await };
    match watched.next().await {
        Some(Ok(change)) if change.kind != ChangeKind::Gone => {}
        // The directory is gone, or cannot be watched any more; the container's end is still to come.
        _ => *watch = None,
    }
}

/// The blocking part: a file, and what its bytes mean.
#[derive(Debug)]
struct Source {
    /// Where the log that is written now is.
    log: PathBuf,
    file: File,
    identity: Identity,
    decoder: Decoder,
    /// The file that comes after this one, once this one is known to be complete.
    next: Option<(File, Identity)>,
}

impl Source {
    fn open(log: PathBuf, options: LogOptions) -> io::Result<Box<Self>> {
        let mut file = file::open(&log)?;
        let identity = Identity::of(&file.metadata()?);
        if let Some(lines) = options.tail {
            let offset = tail_offset(&mut file, lines)?;
            file.seek(SeekFrom::Start(offset))?;
        }
        Ok(Box::new(Self { log, file, identity, decoder: Decoder::new(options), next: None }))
    }

    fn look(&mut self, following: bool) -> io::Result<Look> {
        let mut piece = [0; PIECE];
        let mut text = Vec::new();
        while !self.decoder.is_full() {
            let more = match self.file.read(&mut piece) {
                Ok(0) if following => self.advance(),
                Ok(0) => Ok(false),
                Ok(read) => {
                    text.reserve(read);
                    self.decoder.feed(&piece[..read], &mut text);
                    Ok(true)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
                Err(error) => Err(error),
            };
            match more {
                Ok(true) if text.len() < PIECE => {}
                Ok(true) => break,
                // What was read comes first; the error, or the end, is met again at the next look.
                _ if !text.is_empty() => break,
                Ok(false) => return Ok(Look::End),
                Err(error) => return Err(error),
            }
        }
        match (text.is_empty(), self.decoder.is_full()) {
            (false, _) => Ok(Look::Text(text)),
            (true, true) => Ok(Look::Full),
            (true, false) => Ok(Look::More),
        }
    }

    /// At the end of the file: goes on to the next one if the log was rotated. Says whether to read on.
    fn advance(&mut self) -> io::Result<bool> {
        if let Some((file, identity)) = self.next.take() {
            self.file = file;
            self.identity = identity;
            self.decoder.next_file();
            return Ok(true);
        }
        let Some(path) = successor(&self.log, self.identity)? else { return Ok(false) };
        let file = match file::open(&path) {
            Ok(file) => file,
            // Renamed or compressed meanwhile; that change is told as well.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let identity = Identity::of(&file.metadata()?);
        // The runtime writes to the old file until it makes the new one. The new one is there, so what the old one has
        // now is all: it is read once more to its end.
        self.next = Some((file, identity)).filter(|(_, identity)| *identity != self.identity);
        Ok(self.next.is_some())
    }

    /// Whether the file has lines, and none of them is a record.
    fn is_foreign(&self) -> bool {
        self.decoder.records() == 0 && self.decoder.unreadable() > 0
    }
}
