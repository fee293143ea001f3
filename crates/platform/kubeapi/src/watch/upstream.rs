//! Lists and watches of a real server.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use kube::core::params::{ListParams, WatchParams};

use super::events::Events;
use super::{At, Listed, Selection, Upstream};
use crate::client::refused;
use crate::object::{decode, resource};
use crate::{ApiError, ApiErrorKind, Client, Object};

/// How many objects are asked for at once.
const PAGE: u32 = 500;

/// The objects of a selection, as a server has them.
pub(crate) struct FromServer<K> {
    client: Client,
    selection: Selection,
    kind: PhantomData<fn() -> K>,
}

impl<K: Object> FromServer<K> {
    pub(crate) fn new(client: Client, selection: Selection) -> Self {
        Self { client, selection, kind: PhantomData }
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

    async fn list(&self, at: At) -> Result<Listed<K>, ApiError> {
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
                    return Ok(Listed { objects, version });
                }
            }
        }
    }

    async fn open(&self, version: &str, timeout: Duration) -> Result<Events<K>, ApiError> {
        let params = WatchParams {
            label_selector: self.selection.labels.clone(),
            field_selector: self.selection.fields.clone(),
            timeout: Some(u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX)),
            bookmarks: true,
            send_initial_events: false,
        };
        let request = resource::<K>(self.selection.namespace.as_deref()).watch(&params, version);
        let body = self.client.open(request.map_err(|error| refused(&error))?).await?;
        Ok(Events::new(body, self.client.server().to_owned()))
    }

    async fn recovered(&self) {
        self.client.recovered().await;
    }
}
