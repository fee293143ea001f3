//! The life of one socket: registered while it is there, tried again while it could not be.

use std::path::PathBuf;
use std::time::Duration;

use task::backoff::Backoff;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::handshake::{self, Registered};
use crate::scan::Identity;
use crate::{Handlers, Metrics};

/// The delay after the first failure.
const FIRST_DELAY: Duration = Duration::from_millis(500);

/// The longest delay.
const LONGEST_DELAY: Duration = Duration::from_secs(122);

/// What a socket's task is given.
pub(crate) struct Socket {
    pub(crate) path: PathBuf,
    /// Which socket is there; none when it is gone.
    pub(crate) seen: watch::Receiver<Option<Identity>>,
    /// Counts the plugins that went out of service: one of them may have been in another one's way.
    pub(crate) freed: watch::Sender<u64>,
    pub(crate) handlers: Handlers,
    pub(crate) metrics: Metrics,
}

/// How it stands with the socket.
enum State {
    /// Nothing is registered. To be tried at once, or not before the given time.
    Idle(Option<Instant>),
    Registered(Identity, Registered),
}

impl Socket {
    /// Keeps the plugin registered until its socket is gone, and returns its path.
    pub(crate) async fn run(mut self) -> PathBuf {
        let mut backoff = Backoff::new(FIRST_DELAY, LONGEST_DELAY);
        let mut state = State::Idle(None);
        let mut tried = None;
        let mut freed = self.freed.subscribe();
        loop {
            let seen = *self.seen.borrow_and_update();
            state = match (state, seen) {
                (State::Registered(identity, registered), Some(now)) if identity == now => {
                    let state = State::Registered(identity, registered);
                    // An error: berth ends, and whoever waits here is dropped. Registered plugins stay so.
                    if self.seen.changed().await.is_err() {
                        return self.path;
                    }
                    state
                }
                (State::Registered(_, registered), _) => {
                    self.deregister(registered).await;
                    State::Idle(None)
                }
                (State::Idle(_), None) => return self.path,
                (State::Idle(not_before), Some(now)) => {
                    if tried.replace(now) != Some(now) {
                        backoff.reset(&());
                    } else if let Some(at) = not_before {
                        self.wait(at, &mut freed).await;
                        state = State::Idle(None);
                        continue;
                    }
                    // One that goes while this one is refused may have been in its way.
                    freed.mark_unchanged();
                    self.register(now, &mut backoff).await
                }
            };
        }
    }

    async fn register(&self, identity: Identity, backoff: &mut Backoff<()>) -> State {
        match handshake::register(&self.path, &self.handlers).await {
            Ok(registered) => {
                backoff.reset(&());
                self.metrics.registered(&self.path, true);
                let plugin = &registered.plugin;
                tracing::info!(
                    name = plugin.name, kind = plugin.kind, socket = %self.path.display(),
                    "Registered a plugin"
                );
                State::Registered(identity, registered)
            }
            Err(error) => {
                let now = Instant::now();
                let delay = backoff.failed(&(), now);
                let error = telemetry::chain(&error);
                tracing::warn!(
                    socket = %self.path.display(), error, again_in = ?delay,
                    "Could not register a plugin"
                );
                State::Idle(Some(now + delay))
            }
        }
    }

    async fn deregister(&self, registered: Registered) {
        tracing::info!(
            name = registered.plugin.name, kind = registered.plugin.kind, socket = %self.path.display(),
            "A plugin is gone, or another one has its socket"
        );
        self.metrics.registered(&self.path, false);
        registered.end().await;
        self.freed.send_modify(|count| *count += 1);
    }

    /// Waits until it is time to try again, the socket is another one, or a plugin went that may have been in the way.
    async fn wait(&mut self, at: Instant, freed: &mut watch::Receiver<u64>) {
        tokio::select! {
            () = sleep_until(at) => {}
            _ = self.seen.changed() => {}
            _ = freed.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use pluginapi::registration::Plugin;
    use testkit::plugin::FakePlugin;

    use super::*;
    use crate::scan::scan;
    use crate::{Handler, Refused};

    /// Refuses the first plugin, and as it does so the one goes that was in its way.
    struct InTheWay {
        freed: watch::Sender<u64>,
        taken: watch::Sender<u64>,
    }

    #[async_trait]
    impl Handler for InTheWay {
        async fn register(&self, _: &Plugin) -> Result<(), Refused> {
            if *self.freed.borrow() == 0 {
                self.freed.send_modify(|count| *count += 1);
                return Err(Refused("another one is there".to_owned()));
            }
            self.taken.send_modify(|count| *count += 1);
            Ok(())
        }

        async fn deregister(&self, _: &Plugin) {}
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_while_a_plugin_is_refused_is_not_missed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.sock");
        let _plugin = FakePlugin::start(&path, "CSIPlugin", "p").unwrap();
        let identity = scan(dir.path()).unwrap().sockets[&path];
        let (freed, taken) = (watch::Sender::new(0), watch::Sender::new(0));
        let handler = Arc::new(InTheWay { freed: freed.clone(), taken: taken.clone() });
        let seen = watch::Sender::new(Some(identity));
        let socket = Socket {
            path,
            seen: seen.subscribe(),
            freed,
            handlers: Handlers::default().with("CSIPlugin", handler),
            metrics: Metrics::register(&telemetry::metrics::Registry::new()),
        };
        let (start, mut taken) = (Instant::now(), taken.subscribe());
        tokio::select! {
            path = socket.run() => panic!("{path:?}"),
            changed = taken.changed() => changed.unwrap(),
        }
        assert!(start.elapsed() < FIRST_DELAY, "it is tried again at once");
    }
}
