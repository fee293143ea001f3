//! The task that follows the directory of plugins.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use task::blocking;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::dirs::Dirs;
use crate::scan::{self, Found, Identity};
use crate::socket::Socket;
use crate::{Handlers, Metrics};

/// How often the directories are read although nothing was told of them.
const RESCAN: Duration = Duration::from_secs(60);

/// How long reading them may take.
const SCAN_DEADLINE: Duration = Duration::from_secs(30);

/// The registry of plugins.
#[derive(Debug)]
pub struct Registry {
    dir: PathBuf,
    handlers: Handlers,
    metrics: Metrics,
    dirs: Dirs,
    /// Which socket is at each path, as its task is told.
    sockets: HashMap<PathBuf, watch::Sender<Option<Identity>>>,
    tasks: JoinSet<PathBuf>,
    freed: watch::Sender<u64>,
}

impl Registry {
    /// A registry of the plugins whose sockets are in `dir` (`<root-dir>/plugins_registry`, which is made if it is not
    /// there) and in the directories below it.
    #[must_use]
    pub fn new(dir: PathBuf, handlers: Handlers, metrics: Metrics) -> Self {
        Self {
            dir,
            handlers,
            metrics,
            dirs: Dirs::default(),
            sockets: HashMap::new(),
            tasks: JoinSet::new(),
            freed: watch::Sender::new(0),
        }
    }

    /// Keeps registered what is there, until dropped. Nothing is deregistered then: plugins outlive berth.
    pub async fn run(mut self) {
        let mut rescan = interval_at(Instant::now() + RESCAN, RESCAN);
        rescan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.look().await;
            tokio::select! {
                () = self.dirs.changed() => {}
                _ = rescan.tick() => {}
                Some(ended) = self.tasks.join_next() => self.ended(ended),
            }
        }
    }

    /// Reads the directories until all of them are watched, and has the tasks of sockets know.
    async fn look(&mut self) {
        loop {
            let dir = self.dir.clone();
            let scanned = blocking::with_deadline("scan plugins", blocking::NODE, SCAN_DEADLINE, move || {
                scan::scan(&dir)
            })
            .await;
            let found = match scanned {
                Ok(Ok(found)) => found,
                // What is there cannot be known, so it stays as it was.
                Ok(Err(error)) => return self.unread(&telemetry::chain(&error)),
                Err(error) => return self.unread(&error.to_string()),
            };
            let has_more = self.dirs.follow(&found.dirs);
            self.follow(&found);
            if !has_more {
                return;
            }
        }
    }

    fn unread(&self, error: &str) {
        tracing::warn!(error, dir = %self.dir.display(), "Plugins cannot be found: fix their directory");
    }

    fn follow(&mut self, found: &Found) {
        for (path, seen) in &self.sockets {
            let now = found.sockets.get(path).copied();
            self.metrics.seen(path, now.is_some());
            seen.send_if_modified(|seen| std::mem::replace(seen, now) != now);
        }
        for (path, identity) in &found.sockets {
            if !self.sockets.contains_key(path) {
                self.metrics.seen(path, true);
                let seen = watch::Sender::new(Some(*identity));
                self.spawn(path, &seen);
                self.sockets.insert(path.clone(), seen);
            }
        }
    }

    fn spawn(&mut self, path: &std::path::Path, seen: &watch::Sender<Option<Identity>>) {
        let socket = Socket {
            path: path.to_owned(),
            seen: seen.subscribe(),
            freed: self.freed.clone(),
            handlers: self.handlers.clone(),
            metrics: self.metrics.clone(),
        };
        self.tasks.spawn(socket.run());
    }

    /// The task of a socket has ended, since the socket was gone. It may be back by now.
    fn ended(&mut self, ended: Result<PathBuf, tokio::task::JoinError>) {
        match ended {
            Ok(path) => match self.sockets.remove(&path) {
                Some(seen) if seen.borrow().is_some() => {
                    self.spawn(&path, &seen);
                    self.sockets.insert(path, seen);
                }
                _ => {}
            },
            Err(error) => {
                // A handler panicked. Its socket is taken for a new one when the directories are read the next time.
                tracing::error!(%error, "The task of a plugin's socket ended");
                self.sockets.retain(|_, seen| seen.receiver_count() > 0);
            }
        }
    }
}
