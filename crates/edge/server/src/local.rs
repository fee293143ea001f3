//! The local API: the pods with their status, why they are where they are, their logs, health and metrics.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::pods::{LogQuery, PodList, Pods};
use crate::why::Why;

/// A manifest that could not be used, or not wholly; or what is wrong between the node and its API server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The file, the URL, or the API server.
    pub origin: String,
    /// Line, from 1; none if the whole file is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Column, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// Machine-readable reason.
    pub reason: String,
    /// What is wrong and what to do.
    pub message: String,
    /// Whether the pod runs all the same.
    pub warning: bool,
}

/// A page of metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricsPage {
    /// `/metrics`: the agent's own.
    Agent,
    /// `/metrics/probes`: what probes find, with a series for each pod.
    Probes,
}

/// What the local API needs of the agent.
pub trait Local: Pods {
    /// Why pods are where they are; of all of them, or of those called `name` (`[namespace/]name`).
    fn why(&self, name: Option<&str>) -> Vec<Why>;
    /// What is wrong with manifests and with the API server.
    fn problems(&self) -> Vec<Problem>;
    /// What is wrong with the agent itself.
    fn health(&self) -> Result<(), String>;
    /// The metrics of a page in Prometheus' text format.
    fn metrics(&self, page: MetricsPage) -> BoxFuture<'_, String>;
}

/// The routes of the local socket.
pub fn local_api(local: Arc<dyn Local>) -> Router {
    Router::new()
        .route("/pods", get(pods))
        .route("/why", get(why))
        .route("/problems", get(problems))
        .route("/containerLogs/{namespace}/{pod}/{container}", get(container_log))
        .route("/healthz", get(health))
        .route("/metrics", get(async |local| metrics(local, MetricsPage::Agent).await))
        .route("/metrics/probes", get(async |local| metrics(local, MetricsPage::Probes).await))
        .with_state(local)
}

/// The routes of the healthz port.
pub fn healthz(local: Arc<dyn Local>) -> Router {
    Router::new().route("/healthz", get(health)).with_state(local)
}

async fn pods(State(local): State<Arc<dyn Local>>) -> impl IntoResponse {
    Json(PodList::of(local.desired()))
}

#[derive(Deserialize)]
struct WhyQuery {
    pod: Option<String>,
}

async fn why(State(local): State<Arc<dyn Local>>, Query(query): Query<WhyQuery>) -> impl IntoResponse {
    Json(local.why(query.pod.as_deref()))
}

async fn problems(State(local): State<Arc<dyn Local>>) -> impl IntoResponse {
    Json(local.problems())
}

async fn container_log(
    State(local): State<Arc<dyn Local>>,
    Path((namespace, pod, container)): Path<(String, String, String)>,
    Query(query): Query<LogQuery>,
) -> Response {
    match local.log(&namespace, &pod, &container, &query).await {
        Ok(stream) => {
            ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(stream)).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

async fn health(State(local): State<Arc<dyn Local>>) -> Response {
    match local.health() {
        Ok(()) => (StatusCode::OK, "ok").into_response(),
        Err(problem) => (StatusCode::INTERNAL_SERVER_ERROR, problem).into_response(),
    }
}

async fn metrics(State(local): State<Arc<dyn Local>>, page: MetricsPage) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], local.metrics(page).await)
}
