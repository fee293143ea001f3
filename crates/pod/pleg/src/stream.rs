//! The runtime's event stream: connecting, listening, waiting before the next attempt.

use std::pin::Pin;

use cri::{ContainerEvent, CriError, CriErrorKind, Runtime};
use futures::{Stream, StreamExt};
use tokio::time::{Instant, sleep_until};

type Connecting = Pin<Box<dyn Future<Output = Result<Events, CriError>> + Send>>;
type Events = Pin<Box<dyn Stream<Item = Result<ContainerEvent, CriError>> + Send>>;

/// Where the subscription stands.
pub(crate) enum EventStream {
    /// There is none before this time.
    Waiting(Instant),
    /// The runtime is being asked for one.
    Connecting(Connecting),
    /// It is open.
    Open(Events),
    /// The runtime has no events.
    Unsupported,
    /// Nobody wants them.
    Off,
}

/// What became of the subscription.
pub(crate) enum News {
    /// It is open.
    Opened,
    /// Something happened in the runtime.
    Event(Box<ContainerEvent>),
    /// It failed, or the runtime ended it (`None`).
    Lost(Option<CriError>),
    /// The runtime has no events.
    Unsupported,
}

impl EventStream {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// Waits for news. May be dropped and called again. After [`News::Lost`] it is to be replaced.
    pub(crate) async fn next(&mut self, runtime: &Runtime) -> News {
        loop {
            let failed = match self {
                Self::Waiting(until) => {
                    sleep_until(*until).await;
                    let runtime = runtime.clone();
                    *self = Self::Connecting(Box::pin(async move {
                        let events: Events = Box::pin(runtime.events().await?);
                        Ok(events)
                    }));
                    continue;
                }
                Self::Connecting(connecting) => match connecting.await {
                    Ok(events) => {
                        *self = Self::Open(events);
                        return News::Opened;
                    }
                    Err(error) => Some(error),
                },
                Self::Open(events) => match events.next().await {
                    Some(Ok(event)) => return News::Event(Box::new(event)),
                    Some(Err(error)) => Some(error),
                    None => None,
                },
                Self::Unsupported | Self::Off => std::future::pending().await,
            };
            if failed.as_ref().is_some_and(|error| error.kind == CriErrorKind::Unimplemented) {
                *self = Self::Unsupported;
                return News::Unsupported;
            }
            return News::Lost(failed);
        }
    }
}
