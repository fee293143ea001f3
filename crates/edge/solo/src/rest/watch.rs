//! Watches: what changes, as it changes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::{self, Stream};
use http::header;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::call::Call;
use super::form::Form;
use crate::error::ApiError;
use crate::printer::{self, Include};
use crate::selector::Selector;
use crate::store::{Change, ChangeKind, Feed, Gap, Snapshot, Store};

/// How often a watcher without news is told the revision up to which it has seen everything.
const BOOKMARKS: Duration = Duration::from_secs(60);
/// A watch ends after this time unless the client says how long it wants to listen.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(45 * 60);
/// Says that all initial objects were sent (KEP-3157).
const INITIAL_END: &str = "k8s.io/initial-events-end";

/// What a watcher is at.
struct Watcher {
    call: Call,
    selector: Selector,
    feed: Arc<Feed>,
    grown: watch::Receiver<u64>,
    commits: watch::Receiver<Snapshot>,
    /// Everything up to here was sent.
    seen: u64,
    /// To be sent before anything else.
    first: Option<Bytes>,
    ends: Instant,
    next_bookmark: Instant,
    /// Tables tell their columns once.
    told_columns: bool,
    over: bool,
}

/// Answers a watch.
pub(super) fn watch(store: &Store, call: Call, selector: Selector) -> Result<Response, ApiError> {
    let feed = store.feed(call.resource().store);
    // Listening begins before the objects are looked at, so that nothing falls in between.
    let (grown, commits) = (feed.grown(), store.commits());
    let snapshot = store.snapshot();
    let options = &call.options;
    let timeout = options.timeout_seconds()?.map_or(DEFAULT_TIMEOUT, Duration::from_secs);
    let now = Instant::now();
    let asked = options.revision()?;
    let initial = options.wants_initial_events()
        || (options.resource_version.is_empty() || options.resource_version == "0");
    if options.wants_initial_events() && !options.wants_bookmarks() {
        let message = "sendInitialEvents: Forbidden: sendInitialEvents requires setting allowWatchBookmarks";
        return Err(ApiError::unprocessable(message));
    }
    let mut watcher = Watcher {
        seen: asked.filter(|_| !initial).unwrap_or(snapshot.revision()),
        feed,
        grown,
        commits,
        first: None,
        ends: now + timeout,
        next_bookmark: now + BOOKMARKS,
        told_columns: false,
        over: false,
        selector,
        call,
    };
    if initial {
        watcher.first = Some(watcher.initial(&snapshot));
    }
    let body = Body::from_stream(watcher.frames());
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

impl Watcher {
    fn frames(self) -> impl Stream<Item = Result<Bytes, std::convert::Infallible>> {
        stream::unfold(self, |mut watcher| async move {
            let frame = watcher.next().await?;
            Some((Ok(frame), watcher))
        })
    }

    /// The next lines to send; none when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Some(first);
        }
        if self.over {
            return None;
        }
        loop {
            // The commit is looked at before the feed: whatever it holds is in the feed by now.
            self.grown.borrow_and_update();
            let complete = self.commits.borrow().revision();
            let changes = match self.feed.after(self.seen) {
                Ok(changes) => changes,
                Err(gap) => return Some(self.expired(gap)),
            };
            if let Some(last) = changes.last() {
                self.seen = last.revision;
                let lines = self.lines(&changes);
                if !lines.is_empty() {
                    return Some(lines);
                }
                continue;
            }
            self.seen = self.seen.max(complete);
            tokio::select! {
                changed = self.grown.changed() => changed.ok()?,
                () = sleep_until(self.next_bookmark), if self.call.options.wants_bookmarks() => {
                    self.next_bookmark += BOOKMARKS;
                    return Some(self.bookmark(self.seen, false));
                }
                () = sleep_until(self.ends) => return None,
            }
        }
    }

    fn initial(&mut self, snapshot: &Snapshot) -> Bytes {
        let namespace = self.call.objects.namespace.clone();
        let mut lines = Vec::new();
        for (_, object) in snapshot.list(self.call.resource().store, namespace.as_deref()) {
            if self.selector.matches(object) {
                let shown = self.shown(object);
                line(&mut lines, "ADDED", &shown);
            }
        }
        if self.call.options.wants_initial_events() {
            lines.extend_from_slice(&self.bookmark(snapshot.revision(), true));
        }
        lines.into()
    }

    fn lines(&mut self, changes: &[Arc<Change>]) -> Bytes {
        let mut lines = Vec::new();
        for change in changes {
            if let Some((kind, object)) = seen_as(change, &self.selector) {
                let shown = self.shown(&object);
                line(&mut lines, kind, &shown);
            }
        }
        lines.into()
    }

    fn shown(&mut self, stored: &Value) -> Value {
        match self.call.form {
            Form::Whole => self.call.resource().shown(stored),
            Form::Partial => printer::partial(stored),
            Form::Table => {
                let include = Include::parse(&self.call.options.include_object);
                let mut table = printer::table(
                    self.call.resource(),
                    std::iter::once(stored),
                    include,
                    !self.told_columns,
                );
                self.told_columns = true;
                table["metadata"] = json!({"resourceVersion": stored["metadata"]["resourceVersion"]});
                table
            }
        }
    }

    fn bookmark(&self, revision: u64, initial_end: bool) -> Bytes {
        let resource = self.call.resource();
        let mut meta = json!({"resourceVersion": revision.to_string(), "creationTimestamp": null});
        if initial_end {
            meta["annotations"] = json!({INITIAL_END: "true"});
        }
        let object = match self.call.form {
            Form::Whole => {
                json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": meta})
            }
            Form::Partial => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta})
            }
            Form::Table => json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta,
                "columnDefinitions": [], "rows": []}),
        };
        let mut lines = Vec::new();
        line(&mut lines, "BOOKMARK", &object);
        lines.into()
    }

    fn expired(&mut self, gap: Gap) -> Bytes {
        self.over = true;
        let error = ApiError::expired(format!("too old resource version: {} ({})", self.seen, gap.oldest));
        let mut lines = Vec::new();
        line(&mut lines, "ERROR", &error.status());
        lines.into()
    }
}

fn line(lines: &mut Vec<u8>, kind: &str, object: &Value) {
    // A value always becomes JSON.
    let _ = serde_json::to_writer(&mut *lines, &json!({"type": kind, "object": object}));
    lines.push(b'\n');
}

/// How a watcher with a selector sees a change: an object that comes to match is new to it, and one that no longer
/// does is gone.
fn seen_as(change: &Change, selector: &Selector) -> Option<(&'static str, Arc<Value>)> {
    let now = change.kind != ChangeKind::Deleted && selector.matches(&change.object);
    let before = change.previous.as_ref().is_some_and(|previous| selector.matches(previous));
    match (before, now) {
        (false, false) => None,
        (false, true) => Some(("ADDED", change.object.clone())),
        (true, true) => Some(("MODIFIED", change.object.clone())),
        (true, false) if change.kind == ChangeKind::Deleted => Some(("DELETED", change.object.clone())),
        (true, false) => {
            // Its last state that the watcher may see, with the revision of the change.
            let mut last = change.previous.as_deref().cloned().unwrap_or_default();
            last["metadata"]["resourceVersion"] = change.revision.to_string().into();
            Some(("DELETED", Arc::new(last)))
        }
    }
}
