//! `/containerLogs`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::header;

use super::logquery;
use super::needs::Shared;
use crate::Refusal;

pub(super) async fn container(
    State(shared): State<Arc<Shared>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let query = logquery::parse(&pairs, shared.needs.settings.split_streams)?;
    let log = shared.needs.local.log(&namespace, &pod, &container, &query).await?;
    // What is behind the stream goes with the body: when the client is gone, so is everything that read for it.
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((headers, Body::from_stream(log)).into_response())
}
