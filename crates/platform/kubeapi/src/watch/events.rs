//! The events of a watch, as they come over the wire.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

use http::StatusCode;
use kube::core::Status;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::lines::Lines;
use super::{Event, EventStream};
use crate::object::decode;
use crate::transport::ResponseBody;
use crate::{ApiError, Object};

/// Marks the bookmark after the objects that there were at the beginning.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// One line.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

/// As much of an object as is always there.
#[derive(Deserialize)]
struct Versioned {
    metadata: Meta,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// The events of a watch that has begun.
pub(crate) struct Events<K> {
    lines: Lines<ResponseBody>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Object> Events<K> {
    pub(super) fn new(body: ResponseBody, server: String) -> Self {
        Self { lines: Lines::new(body, server), kind: PhantomData }
    }
}

impl<K: Object> EventStream<K> for Events<K> {
    async fn next(&mut self) -> Option<Result<Event<K>, ApiError>> {
        loop {
            match self.lines.next().await? {
                Ok(line) if line.trim_ascii().is_empty() => {}
                Ok(line) => return Some(read(&line)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

fn read<K: Object>(line: &[u8]) -> Result<Event<K>, ApiError> {
    let Line { kind, object } = serde_json::from_slice(line).map_err(|error| ApiError::malformed(&error))?;
    let version = |meta: &K| meta.meta().resource_version.clone().unwrap_or_default();
    let decoded = match &*kind {
        "ADDED" | "MODIFIED" => decode::<K>(object).map(|object| {
            let version = version(&object);
            Event::Applied(Arc::new(object), version)
        }),
        "DELETED" => decode::<K>(object).map(|object| {
            let version = version(&object);
            Event::Deleted(Arc::new(object), version)
        }),
        "ERROR" => {
            let status: Status =
                serde_json::from_str(object.get()).map_err(|error| ApiError::malformed(&error))?;
            let error = ApiError::from_status(StatusCode::INTERNAL_SERVER_ERROR, None, status);
            return Ok(Event::Failed(error));
        }
        "BOOKMARK" => return bookmark(object),
        // Kinds of events that come after us pass time, at least.
        _ => return skipped(object),
    };
    decoded.or_else(|error| {
        // As in a list: one object that cannot be read does not hide the others.
        tracing::warn!(error = %error, "an event of a watch is left out");
        skipped(object)
    })
}

/// The bookmark that ends the objects of the beginning has an annotation.
fn bookmark<K>(object: &RawValue) -> Result<Event<K>, ApiError> {
    let Versioned { metadata } =
        serde_json::from_str(object.get()).map_err(|error| ApiError::malformed(&error))?;
    let synced = metadata.annotations.get(INITIAL_EVENTS_END).is_some_and(|value| value == "true");
    let version = metadata.resource_version;
    Ok(if synced { Event::Synced(version) } else { Event::Bookmark(version) })
}

/// What is left of an event whose object says nothing.
fn skipped<K>(object: &RawValue) -> Result<Event<K>, ApiError> {
    let versioned: Versioned =
        serde_json::from_str(object.get()).map_err(|error| ApiError::malformed(&error))?;
    Ok(Event::Bookmark(versioned.metadata.resource_version))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;
    use crate::ApiErrorKind;

    fn event(line: &str) -> Result<Event<ConfigMap>, ApiError> {
        read(line.as_bytes())
    }

    #[test]
    fn every_kind_of_event() {
        let object =
            r#"{"metadata":{"name":"a","resourceVersion":"7","managedFields":[{}]},"data":{"k":"v"}}"#;
        for (kind, deleted) in [("ADDED", false), ("MODIFIED", false), ("DELETED", true)] {
            // The order of the two members does not matter.
            for line in [
                format!("{{\"type\":\"{kind}\",\"object\":{object}}}"),
                format!("{{\"object\":{object},\"type\":\"{kind}\"}}"),
            ] {
                let (object, version) = match event(&line).unwrap() {
                    Event::Applied(object, version) if !deleted => (object, version),
                    Event::Deleted(object, version) if deleted => (object, version),
                    other => panic!("{other:?}"),
                };
                assert_eq!(version, "7");
                assert_eq!(object.metadata.managed_fields, None);
            }
        }
        let bookmark =
            r#"{"type":"BOOKMARK","object":{"kind":"ConfigMap","metadata":{"resourceVersion":"9"}}}"#;
        assert!(matches!(event(bookmark).unwrap(), Event::Bookmark(version) if version == "9"));
        let synced = r#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}}}"#;
        assert!(matches!(event(synced).unwrap(), Event::Synced(version) if version == "9"));
        let gone = r#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410,"reason":"Expired","message":"too old"}}"#;
        assert!(matches!(event(gone).unwrap(), Event::Failed(error) if error.kind == ApiErrorKind::Gone));
    }

    #[test]
    fn what_cannot_be_read_passes_time() {
        let odd = r#"{"type":"ADDED","object":{"metadata":{"resourceVersion":"8"},"data":[1]}}"#;
        assert!(matches!(event(odd).unwrap(), Event::Bookmark(version) if version == "8"));
        assert_eq!(event("{").unwrap_err().kind, ApiErrorKind::Malformed);
    }
}
