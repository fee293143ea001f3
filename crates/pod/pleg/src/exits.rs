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
type Settling<'a> = Pin<Box<dyn Future<Output = Option<ContainerId>> + Send + 'a>>;

/// When to look first whether the runtime shows the end of a container whose process has ended. It tells nothing of
/// that; usually it takes a few tens of milliseconds.
const FIRST_LOOK: Duration = Duration::from_millis(5);

enum Feed {
    /// The runtime has its own events, or none of these either.
    Off,
    /// It is not asked before this time.
    Waiting(Instant),
    Open(Told),
}

/// The hints, and the containers whose end the runtime does not show yet.
pub(crate) struct Exits<'a, F> {
    runtime: &'a Runtime,
    feed: Feed,
    settling: FuturesUnordered<Settling<'a>>,
    /// The time between relists: after that there is no need of a hint. Also the wait before the next connection.
    relist: Duration,
    /// Whether the end of a container needs no look, or has been seen by one.
    settled: F,
}

impl<'a, F: Fn(&ContainerId) -> bool + Copy + Send + Sync + 'a> Exits<'a, F> {
    /// Not listening.
    pub(crate) fn new(runtime: &'a Runtime, relist: Duration, settled: F) -> Self {
        Self { runtime, feed: Feed::Off, settling: FuturesUnordered::new(), relist, settled }
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

    /// Waits until the runtime shows the end of a container that it told of and that nobody has seen. May be dropped
    /// and called again.
    pub(crate) async fn next(&mut self) -> ContainerId {
        loop {
            tokio::select! {
                Some(ended) = self.settling.next(), if !self.settling.is_empty() => {
                    if let Some(container) = ended {
                        return container;
                    }
                }
                told = self.feed.next(self.runtime) => match told {
                    Some(Ok(container)) => {
                        let shown = shown(self.runtime, container, self.relist, self.settled);
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

/// Waits until the runtime does not show the container running any more, no longer than `patience`; `None` if it is
/// settled before.
async fn shown(
    runtime: &Runtime,
    container: ContainerId,
    patience: Duration,
    settled: impl Fn(&ContainerId) -> bool + Sync,
) -> Option<ContainerId> {
    let begun = Instant::now();
    let look = async {
        loop {
            sleep(FIRST_LOOK.max(begun.elapsed() / 2)).await;
            if settled(&container) {
                return false;
            }
            match runtime.container_status(&container).await {
                Ok(status) if status.state.is_running() => {}
                // Ended, gone, or for the pod's own look to find out.
                _ => return !settled(&container),
            }
        }
    };
    // Once patience is at its end, the relist has seen it.
    let news = timeout(patience, look).await.unwrap_or(true);
    news.then_some(container)
}
