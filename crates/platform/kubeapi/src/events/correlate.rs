//! What becomes of an event: a new one, a count of one that was told, part of a combined one, or nothing.
//! The rules and numbers are client-go's.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use jiff::Timestamp;
use task::rate::TokenBucket;
use tokio::time::Instant;
use types::{Event, EventKind, PodRef, StorageRef};

use super::recent::Recent;

/// How much is remembered, of each sort.
const REMEMBERED: usize = 4096;
/// So many different messages of one reason about one object within [`WITHIN`] are combined.
const SIMILAR: usize = 10;
const WITHIN: Duration = Duration::from_secs(600);
/// Events about one object: so many at once, and then one each five minutes.
const BURST: u32 = 25;
const PER_SECOND: f64 = 1.0 / 300.0;

/// Remembers what was told.
pub(super) struct Correlator {
    spam: Recent<(Option<PodRef>, Option<StorageRef>), TokenBucket>,
    similar: Recent<Similar, Group>,
    told: Recent<Key, Told>,
    last_stamp: i128,
}

/// Events that differ in their message only.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Similar {
    pub(super) pod: Option<PodRef>,
    pub(super) storage: Option<StorageRef>,
    pub(super) kind: EventKind,
    pub(super) reason: Cow<'static, str>,
}

/// Events that are one object of the API.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Key {
    /// They are the same.
    Same { similar: Similar, field_path: Option<String>, message: String },
    /// They are similar.
    Combined(Similar),
}

struct Group {
    messages: HashSet<String>,
    last: Instant,
}

struct Told {
    name: String,
    first: Timestamp,
    count: i32,
}

/// An event as it is to be known to the API server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Outgoing {
    pub(super) key: Key,
    /// The name of its object.
    pub(super) name: String,
    pub(super) message: String,
    pub(super) field_path: Option<String>,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    pub(super) count: i32,
    /// Whether the object should be there already.
    pub(super) again: bool,
}

impl Key {
    pub(super) fn similar(&self) -> &Similar {
        match self {
            Self::Same { similar, .. } | Self::Combined(similar) => similar,
        }
    }
}

impl Correlator {
    pub(super) fn new() -> Self {
        Self {
            spam: Recent::new(REMEMBERED),
            similar: Recent::new(REMEMBERED),
            told: Recent::new(REMEMBERED),
            last_stamp: 0,
        }
    }

    /// What becomes of `event` about `subject` (the name of the pod or node), which happened now: `at` by the clock on
    /// the wall. `None` if it is one too many.
    pub(super) fn correlate(
        &mut self,
        event: Event,
        subject: &str,
        at: Timestamp,
        now: Instant,
    ) -> Option<Outgoing> {
        let Event { pod, storage, field_path, kind, reason, message } = event;
        let similar = Similar { pod: pod.clone(), storage: storage.clone(), kind, reason };
        let combined = self.is_one_of_many(&similar, &message, now);
        let (key, message, field_path) = if combined {
            // It is about several messages, and so about no part of the object.
            (Key::Combined(similar), format!("(combined from similar events): {message}"), None)
        } else {
            let key = Key::Same { similar, field_path: field_path.clone(), message: message.clone() };
            (key, message, field_path)
        };
        let stamp = at.as_nanosecond().max(self.last_stamp + 1);
        self.last_stamp = stamp;
        let new = || Told { name: format!("{subject}.{stamp:x}"), first: at, count: 0 };
        let told = self.told.entry(&key, new);
        told.count = told.count.saturating_add(1);
        let outgoing = Outgoing {
            name: told.name.clone(),
            message,
            field_path,
            first: told.first,
            last: at,
            count: told.count,
            again: told.count > 1,
            key,
        };
        // What is left out is counted all the same: the next one that is not tells of it.
        let bucket = self.spam.entry(&(pod, storage), || TokenBucket::new(PER_SECOND, BURST));
        bucket.try_take(now).then_some(outgoing)
    }

    fn is_one_of_many(&mut self, similar: &Similar, message: &str, now: Instant) -> bool {
        let group = self.similar.entry(similar, || Group { messages: HashSet::new(), last: now });
        if now.saturating_duration_since(group.last) > WITHIN {
            group.messages.clear();
        }
        group.last = now;
        if group.messages.contains(message) {
            return group.messages.len() >= SIMILAR;
        }
        if group.messages.len() + 1 >= SIMILAR {
            return true;
        }
        group.messages.insert(message.to_owned());
        false
    }
}

#[cfg(test)]
mod tests;
