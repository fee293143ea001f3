//! Events are forgotten after an hour, as the API server does it.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::api::Api;
use crate::object;
use crate::store::Snapshot;

/// How long an event is kept after it last happened.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
/// No more than so many are kept; the oldest go first.
const MOST: usize = 5000;
/// How often they are looked at.
const PERIOD: Duration = Duration::from_secs(60);

/// Removes old events until `shutdown`.
pub(crate) async fn expire(api: Arc<Api>, shutdown: CancellationToken) {
    loop {
        if !old(&api.store.snapshot(), Timestamp::now()).is_empty() {
            let removed = api.store.write(|txn| {
                for (namespace, name) in old(txn, Timestamp::now()) {
                    txn.remove("events", &namespace, &name);
                }
                Ok(())
            });
            if let Err(error) = removed.await {
                warn!(error = &error as &dyn std::error::Error, "old events could not be removed");
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = sleep(PERIOD) => {}
        }
    }
}

/// Namespace and name of the events that go.
fn old(objects: &Snapshot, now: Timestamp) -> Vec<(String, String)> {
    let mut all: Vec<(Timestamp, &crate::store::Key)> =
        objects.list("events", None).map(|(key, event)| (last(event), key)).collect();
    all.sort_by_key(|(last, _)| *last);
    let too_many = all.len().saturating_sub(MOST);
    all.into_iter()
        .enumerate()
        .take_while(|(index, (last, _))| *index < too_many || now.duration_since(*last) > KEPT)
        .map(|(_, (_, key))| (key.namespace.clone(), key.name.clone()))
        .collect()
}

/// When the event last happened.
fn last(event: &Value) -> Timestamp {
    ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"]
        .iter()
        .filter_map(|pointer| object::text(event, pointer).parse().ok())
        .max()
        .unwrap_or_default()
}
