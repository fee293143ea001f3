//! The life of a watch: list, follow, and go on after whatever broke.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::delays::Delays;
use super::{At, Change, Event, EventStream, Health, Listed, Upstream};
use crate::{ApiError, ApiErrorKind, jitter};

/// How long one watch takes, at least and at most; the kubelet's numbers. Then the server ends it, and it is begun anew.
const TIMEOUT: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(600));
/// How much later than that a watch that says nothing is held for dead.
const GRACE: Duration = Duration::from_secs(15);
/// A watch that lived as long was well, whatever ended it.
const WELL: Duration = Duration::from_secs(1);

/// What is known of the objects.
enum Position {
    /// Nothing that can be built on.
    List(At),
    /// Everything up to this version.
    At(String),
}

/// How following a watch ended.
enum End {
    /// The server ended it, or the connection broke: what came so far counts.
    Ended(Option<ApiError>),
    /// The server says that it cannot go on from there.
    Failed(ApiError),
    /// Nobody reads the changes any more.
    Unread,
}

/// Follows until nobody reads the changes any more.
pub(super) async fn run<U: Upstream>(
    upstream: U,
    changes: mpsc::Sender<Change<U::Object>>,
    health: watch::Sender<Health>,
) {
    let mut position = Position::List(At::Any);
    let mut delays = Delays::default();
    // Whether the list was made anew because changes were missed, and nothing was well since.
    let mut relisted = false;
    // The watch that a list has gone on as, when it began, and for how long it is.
    let mut opened = None;
    loop {
        let failure = match position {
            Position::List(at) => {
                let (timeout, begun) = (some_timeout(), Instant::now());
                match upstream.list(at, timeout).await {
                    Ok(Listed { objects, version, events }) => {
                        position = Position::At(version);
                        opened = events.map(|events| (events, begun, timeout));
                        if changes.send(Change::Listed(objects)).await.is_err() {
                            return;
                        }
                        continue;
                    }
                    Err(error) => error,
                }
            }
            Position::At(ref mut version) => {
                let watch = match opened.take() {
                    Some(opened) => Ok(opened),
                    None => {
                        let (timeout, begun) = (some_timeout(), Instant::now());
                        upstream.open(version, timeout).await.map(|events| (events, begun, timeout))
                    }
                };
                match watch {
                    Ok((mut events, begun, timeout)) => {
                        health.send_if_modified(Health::connected);
                        let end = follow(&mut events, version, &changes, begun + timeout + GRACE).await;
                        let well = begun.elapsed() >= WELL;
                        if well {
                            delays.reset();
                            relisted = false;
                        }
                        match end {
                            End::Unread => return,
                            End::Failed(error) => {
                                position = Position::List(At::Newest);
                                error
                            }
                            End::Ended(_) if well => continue,
                            End::Ended(error) => error.unwrap_or_else(ended_at_once),
                        }
                    }
                    Err(error) => error,
                }
            }
        };
        if failure.kind == ApiErrorKind::Gone {
            position = Position::List(At::Newest);
            // That changes were missed is nobody's fault, unless it goes on like that.
            if !relisted {
                relisted = true;
                continue;
            }
        }
        let delay = delays.next(failure.retry_after());
        let away = matches!(failure.kind, ApiErrorKind::Unreachable | ApiErrorKind::Timeout);
        health.send_modify(|health| health.failed(failure));
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = upstream.recovered(), if away => {}
            () = changes.closed() => return,
        }
    }
}

/// Passes on the events of one watch, and keeps `version` at the last of them.
async fn follow<K>(
    events: &mut impl EventStream<K>,
    version: &mut String,
    changes: &mpsc::Sender<Change<K>>,
    deadline: Instant,
) -> End {
    loop {
        let event = tokio::select! {
            event = timeout_at(deadline, events.next()) => event,
            () = changes.closed() => return End::Unread,
        };
        let (change, at) = match event {
            // It should have ended by itself. What came before counts.
            Err(_) | Ok(None) => return End::Ended(None),
            Ok(Some(Err(error))) => return End::Ended(Some(error)),
            Ok(Some(Ok(Event::Failed(error)))) => return End::Failed(error),
            Ok(Some(Ok(Event::Bookmark(at) | Event::Synced(at)))) => (None, at),
            Ok(Some(Ok(Event::Applied(object, at)))) => (Some(Change::Applied(object)), at),
            Ok(Some(Ok(Event::Deleted(object, at)))) => (Some(Change::Deleted(object)), at),
        };
        if let Some(change) = change
            && changes.send(change).await.is_err()
        {
            return End::Unread;
        }
        if !at.is_empty() {
            *version = at;
        }
    }
}

fn some_timeout() -> Duration {
    TIMEOUT.0 + jitter::up_to(TIMEOUT.1 - TIMEOUT.0)
}

fn ended_at_once() -> ApiError {
    ApiError::new(ApiErrorKind::Unreachable, "the API server ends watches as soon as they begin")
}

#[cfg(test)]
mod tests;
