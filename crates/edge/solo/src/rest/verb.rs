//! The verbs on objects.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::answer::{Answer, json, respond};
use super::call::Call;
use super::delete::DeleteOptions;
use super::{body, create, delete, list, measured, review, subresource, update, watch};
use crate::api::Api;
use crate::error::ApiError;
use crate::patch::Patch;
use crate::resource::Keeping;
use crate::selector::Selector;
use crate::store::Snapshot;

/// A list of a revision that is to come waits for it so long.
const REVISION_WAIT: Duration = Duration::from_secs(3);

/// Carries out an authorized call.
pub(super) async fn run(
    api: &Api,
    verb: &str,
    call: Call,
    media_type: String,
    body: Bytes,
) -> Result<Response, ApiError> {
    match call.resource().keeping {
        Keeping::Stored => {}
        Keeping::Asked if verb == "create" => {}
        Keeping::Asked => return Err(ApiError::method_not_allowed()),
        Keeping::Measured => return measured::run(api, verb, &call, &selector(&call)?).await,
    }
    match verb {
        "get" => get(api, &call),
        "list" => list(api, &call).await,
        "watch" => {
            let selector = selector(&call)?;
            watch::watch(&api.store, call, selector)
        }
        "create" => post(api, call, &media_type, &body).await,
        "update" => {
            check_changeable(&call)?;
            let object = call.decode(body::read(&media_type, &body)?)?;
            write(api, call, move |txn, call| update::replace(txn, call, object)).await
        }
        "patch" => {
            let patch = Patch::parse(&media_type, &body)?;
            check_changeable(&call)?;
            write(api, call, move |txn, call| update::patch(txn, call, patch)).await
        }
        "delete" => {
            if !call.objects.subresource.is_empty() {
                return Err(ApiError::method_not_allowed());
            }
            let options = DeleteOptions::read(&call, body::read(&media_type, &body)?)?;
            let working = call.clone();
            let answer = api.store.write(move |txn| delete::delete(txn, &working, &options)).await?;
            Ok(respond(&call, answer))
        }
        "deletecollection" => {
            let options = DeleteOptions::read(&call, body::read(&media_type, &body)?)?;
            let (working, selector) = (call.clone(), selector(&call)?);
            let gone =
                api.store.write(move |txn| delete::delete_all(txn, &working, &selector, &options)).await?;
            let items = gone.iter().map(|object| &**object);
            Ok(json(StatusCode::OK, list::shape(&call, items, Map::new())))
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// Whether the object, or this subresource of it, can be written.
fn check_changeable(call: &Call) -> Result<(), ApiError> {
    let changeable = matches!(
        call.objects.subresource.as_str(),
        "" | "status" | "approval" | "finalize" | "ephemeralcontainers" | "resize"
    );
    if changeable { Ok(()) } else { Err(ApiError::method_not_allowed()) }
}

fn selector(call: &Call) -> Result<Selector, ApiError> {
    Selector::parse(
        call.resource(),
        call.objects.namespace.as_deref(),
        &call.options.label_selector,
        &call.options.field_selector,
    )
}

fn get(api: &Api, call: &Call) -> Result<Response, ApiError> {
    match call.objects.subresource.as_str() {
        "" | "status" | "approval" | "ephemeralcontainers" | "resize" => {}
        _ => return Err(ApiError::method_not_allowed()),
    }
    let snapshot = api.store.snapshot();
    let found = snapshot.get(call.resource().store, call.namespace(), call.name()).cloned();
    Ok(respond(call, Answer::Object(StatusCode::OK, found.ok_or_else(|| call.not_found())?)))
}

async fn list(api: &Api, call: &Call) -> Result<Response, ApiError> {
    let snapshot = at_least(api, call.options.revision()?).await?;
    Ok(json(StatusCode::OK, list::list(&snapshot, call, &selector(call)?)?))
}

/// The objects at the asked revision or later. A watcher can have seen a revision just before lists have it.
async fn at_least(api: &Api, revision: Option<u64>) -> Result<Snapshot, ApiError> {
    let Some(asked) = revision else { return Ok(api.store.snapshot()) };
    let mut commits = api.store.commits();
    let reached = timeout(REVISION_WAIT, commits.wait_for(|snapshot| snapshot.revision() >= asked)).await;
    match reached {
        Ok(Ok(snapshot)) => Ok(snapshot.clone()),
        _ => Err(ApiError::too_large_revision(asked, api.store.snapshot().revision())),
    }
}

async fn post(api: &Api, call: Call, media_type: &str, body: &[u8]) -> Result<Response, ApiError> {
    let body = body::read(media_type, body)?;
    if call.resource().keeping == Keeping::Asked {
        let review = call.decode(body)?;
        let answered = review::answer(&api.store.snapshot(), &api.issuer, &call, review)?;
        return Ok(json(StatusCode::CREATED, answered));
    }
    let working = call.clone();
    if !call.objects.subresource.is_empty() {
        let issuer = api.issuer.clone();
        let answer = api.store.write(move |txn| subresource::create(txn, &working, &issuer, &body)).await?;
        return Ok(respond(&call, answer));
    }
    let (object, ca) = (call.decode(body)?, api.ca.clone());
    let created = api.store.write(move |txn| create::create(txn, &working, object, &ca)).await?;
    Ok(respond(&call, Answer::Object(StatusCode::CREATED, created)))
}

async fn write<W>(api: &Api, call: Call, work: W) -> Result<Response, ApiError>
where
    W: FnOnce(&mut crate::store::Txn, &Call) -> Result<Arc<Value>, ApiError> + Send + 'static,
{
    let working = call.clone();
    let kept = api.store.write(move |txn| work(txn, &working)).await?;
    Ok(respond(&call, Answer::Object(StatusCode::OK, kept)))
}
