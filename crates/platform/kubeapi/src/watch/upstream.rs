//! Lists and watches of a real server.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use kube::core::params::{ListParams, WatchParams};

use super::events::Events;
use super::{At, Event, EventStream, Listed, ObjectKey, Selection, Upstream};
use crate::client::refused;
use crate::object::{decode, resource};
use crate::{ApiError, ApiErrorKind, Client, Object};

/// How many objects are asked for at once.
const PAGE: u32 = 500;

/// How long the objects at the beginning of a watch may take.
const STREAMED_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
#[error("the watch ended before all objects had come")]
struct Ended;

/// The objects of a selection, as a server has them.
pub(crate) struct FromServer<K> {
    client: Client,
    selection: Selection,
    streamed: bool,
    kind: PhantomData<fn() -> K>,
}

impl<K: Object> FromServer<K> {
    pub(crate) fn new(client: Client, selection: Selection) -> Self {
        Self { client, selection, streamed: false, kind: PhantomData }
    }

    /// Lists as the beginning of a watch, where the server can.
    pub(crate) fn streamed(self) -> Self {
        Self { streamed: true, ..self }
    }

    async fn watch(
        &self,
        version: &str,
        timeout: Duration,
        send_initial_events: bool,
    ) -> Result<Events<K>, ApiError> {
        let params = WatchParams {
            label_selector: self.selection.labels.clone(),
            field_selector: self.selection.fields.clone(),
            timeout: Some(u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX)),
            bookmarks: true,
            send_initial_events,
        };
        let request = resource::<K>(self.selection.namespace.as_deref()).watch(&params, version);
        let body = self.client.open(request.map_err(|error| refused(&error))?).await?;
        Ok(Events::new(body, self.client.server().to_owned()))
    }

    /// A list that goes on as a watch.
    async fn stream(&self, at: At, timeout: Duration) -> Result<Listed<K, Events<K>>, ApiError> {
        let version = match at {
            At::Any => "0",
            At::Newest => "",
        };
        let mut events = self.watch(version, timeout, true).await?;
        let mut objects: Vec<Arc<K>> = Vec::new();
        let is_other = |known: &Arc<K>, object: &K| ObjectKey::of(&**known) != ObjectKey::of(object);
        let ended = || ApiError::unreachable(self.client.server(), &Ended);
        loop {
            match events.next().await.ok_or_else(ended)?? {
                Event::Applied(object, _) => {
                    objects.retain(|known| is_other(known, &object));
                    objects.push(object);
                }
                Event::Deleted(object, _) => objects.retain(|known| is_other(known, &object)),
                Event::Bookmark(_) => {}
                Event::Synced(version) => return Ok(Listed { objects, version, events: Some(events) }),
                Event::Failed(error) => return Err(error),
            }
        }
    }

    fn params(&self, at: At) -> ListParams {
        let mut params = ListParams {
            label_selector: self.selection.labels.clone(),
            field_selector: self.selection.fields.clone(),
            ..ListParams::default()
        };
        match at {
            // Served from memory, and there in one piece.
            At::Any => params.resource_version = Some("0".to_owned()),
            At::Newest => params.limit = Some(PAGE),
        }
        params
    }
}

impl<K: Object> Upstream for FromServer<K> {
    type Object = K;
    type Events = Events<K>;

    async fn list(&self, at: At, timeout: Duration) -> Result<Listed<K, Events<K>>, ApiError> {
        if self.streamed && !self.client.lists_apart() {
            let streaming = tokio::time::timeout(STREAMED_WITHIN, self.stream(at, timeout));
            match streaming
                .await
                .unwrap_or_else(|_| Err(ApiError::timeout(self.client.server(), STREAMED_WITHIN)))
            {
                Err(error) if matches!(error.kind, ApiErrorKind::Invalid | ApiErrorKind::Refused) => {
                    tracing::debug!(error = %error, "the API server does not know lists that go on as watches");
                    self.client.list_apart();
                }
                listed => return listed,
            }
        }
        let mut params = self.params(at);
        let mut objects = Vec::new();
        loop {
            let page = self.client.page::<K>(self.selection.namespace.as_deref(), &params).await;
            let page = match page {
                Ok(page) => page,
                // The pages that are left are gone; the whole is not.
                Err(error) if error.kind == ApiErrorKind::Gone && params.continue_token.is_some() => {
                    params = ListParams { limit: None, ..self.params(at) };
                    objects.clear();
                    continue;
                }
                Err(error) => return Err(error),
            };
            for item in page.items.iter().flatten() {
                match decode::<K>(item) {
                    Ok(object) => objects.push(Arc::new(object)),
                    // One object that cannot be read is no reason to see none.
                    Err(error) => tracing::warn!(error = %error, "an object of a list is left out"),
                }
            }
            match page.metadata.r#continue.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => {
                    let version = page.metadata.resource_version.unwrap_or_default();
                    return Ok(Listed { objects, version, events: None });
                }
            }
        }
    }

    async fn open(&self, version: &str, timeout: Duration) -> Result<Events<K>, ApiError> {
        self.watch(version, timeout, false).await
    }

    async fn recovered(&self) {
        self.client.recovered().await;
    }
}
