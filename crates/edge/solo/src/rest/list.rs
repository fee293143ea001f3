//! GET of a collection, in pages.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::call::Call;
use super::form::Form;
use crate::error::ApiError;
use crate::printer::{self, Include};
use crate::selector::Selector;
use crate::store::{Key, Snapshot};

/// Where the next page begins. It is made of the objects as they are then; the revision stays that of the first page,
/// so that a watch from there tells of everything that happened in between.
#[derive(Serialize, Deserialize)]
struct Continue {
    revision: u64,
    namespace: String,
    name: String,
}

impl Continue {
    fn parse(text: &str) -> Result<Self, ApiError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| ApiError::bad_request("continue key is not valid"))
    }

    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// A page of a list.
struct Page {
    items: Vec<Arc<Value>>,
    revision: u64,
    next: Option<Continue>,
    /// How many come after it; unknown with a selector.
    remaining: Option<usize>,
}

/// The list as the client wants it.
pub(super) fn list(snapshot: &Snapshot, call: &Call, selector: &Selector) -> Result<Value, ApiError> {
    if call.options.resource_version_match == "Exact"
        && call.options.revision()?.is_some_and(|revision| revision != snapshot.revision())
    {
        return Err(ApiError::expired("the resource version of the list is too old"));
    }
    let page = page(snapshot, call, selector)?;
    let mut meta = Map::new();
    meta.insert("resourceVersion".to_owned(), page.revision.to_string().into());
    if let Some(next) = page.next {
        meta.insert("continue".to_owned(), next.text().into());
    }
    if let Some(remaining) = page.remaining {
        meta.insert("remainingItemCount".to_owned(), remaining.into());
    }
    Ok(shape(call, page.items.iter().map(|object| &**object), meta))
}

/// Stored objects as a list in the form that the client wants.
pub(super) fn shape<'a>(
    call: &Call,
    items: impl Iterator<Item = &'a Value>,
    meta: Map<String, Value>,
) -> Value {
    let resource = call.resource();
    match call.form {
        Form::Whole => {
            let items: Vec<Value> = items.map(|stored| resource.shown(stored)).collect();
            json!({"kind": format!("{}List", resource.kind), "apiVersion": resource.api_version(), "metadata": meta, "items": items})
        }
        Form::Partial => {
            let items: Vec<Value> = items.map(printer::partial).collect();
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items})
        }
        Form::Table => {
            let mut table =
                printer::table(resource, items, Include::parse(&call.options.include_object), true);
            table["metadata"] = meta.into();
            table
        }
    }
}

fn page(snapshot: &Snapshot, call: &Call, selector: &Selector) -> Result<Page, ApiError> {
    let (resource, namespace) = (call.resource(), call.objects.namespace.as_deref());
    let limit = call.options.limit()?;
    let (start, revision) = if call.options.r#continue.is_empty() {
        (Key::new(resource.store, namespace.unwrap_or_default(), ""), snapshot.revision())
    } else {
        let from = Continue::parse(&call.options.r#continue)?;
        (Key::new(resource.store, &from.namespace, &from.name), from.revision)
    };
    let mut objects =
        snapshot.list_after(start, namespace.is_some()).filter(|(_, object)| selector.matches(object));
    if limit == 0 {
        let items = objects.map(|(_, object)| object.clone()).collect();
        return Ok(Page { items, revision, next: None, remaining: None });
    }
    let taken: Vec<(&Key, &Arc<Value>)> = objects.by_ref().take(limit).collect();
    let left = objects.count();
    let next = taken.last().filter(|_| left > 0).map(|(key, _)| Continue {
        revision,
        namespace: key.namespace.clone(),
        name: key.name.clone(),
    });
    let remaining = (left > 0 && selector.takes_all()).then_some(left);
    Ok(Page {
        items: taken.into_iter().map(|(_, object)| object.clone()).collect(),
        revision,
        next,
        remaining,
    })
}
