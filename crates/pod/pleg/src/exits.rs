//! Ends of containers that a runtime without CRI events tells of in its own way. Hints only: what they say is looked
//! up, and whatever they leave out the relist finds.

use std::pin::Pin;
use std::time::Duration;

use cri::{CriError, CriErrorKind, Runtime};
use futures::stream::FuturesUnordered;
use futures::{Stream, StreamExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use types::ContainerId;

type Told = Pin<Box<dyn Stream<Item = Result<ContainerId, CriError>> + Send>>;
type Settling = Pin<Box<dyn Future<Output = ContainerId> + Send>>;

/// How long after its process the runtime may take to end the container; doubled with each look. The runtime tells
/// no end of that.
const FIRST_LOOK: Duration = Duration::from_millis(5);

enum Feed {
    /// The runtime has its own events, or none of these either.
    Off,
    /// It is not asked before this time.
    Waiting(Instant),
    Open(Told),
}

/// The hints, and the containers whose end the runtime does not show yet.
pub(crate) struct Exits {
    feed: Feed,
    settling: FuturesUnordered<Settling>,
    /// The time between relists: after that there is no need of a hint. Also the wait before the next connection.
    relist: Duration,
}

impl Exits {
    /// Not listening.
    pub(crate) fn new(relist: Duration) -> Self {
        Self { feed: Feed::Off, settling: FuturesUnordered::new(), relist }
    }

    /// Listens from now on.
    pub(crate) fn listen(&mut self) {
        if matches!(self.feed, Feed::Off) {
            self.feed = Feed::Waiting(Instant::now());
        }
    }

    /// Stops listening.
    pub(crate) fn stop(&mut self) {
        self.feed = Feed::Off;
    }

    /// Waits until the runtime shows the end of a container that it told of. May be dropped and called again.
    pub(crate) async fn next(&mut self, runtime: &Runtime) -> ContainerId {
        loop {
            tokio::select! {
                Some(ended) = self.settling.next(), if !self.settling.is_empty() => return ended,
                told = self.feed.next(runtime) => match told {
                    Some(Ok(container)) => {
                        let shown = shown(runtime.clone(), container, self.relist);
                        self.settling.push(Box::pin(shown));
                    }
                    Some(Err(error)) if error.kind == CriErrorKind::Unimplemented => self.feed = Feed::Off,
                    Some(Err(_)) | None => self.feed = Feed::Waiting(Instant::now() + self.relist),
                },
            }
        }
    }
}

impl Feed {
    async fn next(&mut self, runtime: &Runtime) -> Option<Result<ContainerId, CriError>> {
        loop {
            match self {
                Self::Off => std::future::pending().await,
                Self::Waiting(until) => {
                    sleep_until(*until).await;
                    *self = Self::Open(Box::pin(runtime.exits()));
                }
                Self::Open(told) => return told.next().await,
            }
        }
    }
}

/// Waits until the runtime does not show the container running any more, no longer than `patience`.
async fn shown(runtime: Runtime, container: ContainerId, patience: Duration) -> ContainerId {
    let look = async {
        let mut wait = FIRST_LOOK;
        loop {
            sleep(wait).await;
            match runtime.container_status(&container).await {
                Ok(status) if status.state.is_running() => wait *= 2,
                // Ended, gone, or for the pod's own look to find out.
                _ => return,
            }
        }
    };
    // Then the relist has seen it.
    let _ = timeout(patience, look).await;
    container
}
