//! What everybody who may ask is told of pods: their objects, and the logs of their containers.

use std::pin::Pin;

use axum::response::{IntoResponse, Response};
use futures::Stream;
use futures::future::BoxFuture;
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use types::Pod;

/// What a log is wanted of: one of the two outputs, or both.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum LogStream {
    /// Both.
    #[default]
    All,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Which part of a container's log is wanted (the names are those of `PodLogOptions`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogQuery {
    /// Go on as the log grows.
    pub follow: bool,
    /// The instance before the current one.
    pub previous: bool,
    /// Each line with its time.
    pub timestamps: bool,
    /// Only the last lines.
    pub tail_lines: Option<u64>,
    /// At most so many bytes.
    pub limit_bytes: Option<u64>,
    /// Only what is younger than this.
    pub since_seconds: Option<u64>,
    /// Only what was written then or later.
    pub since_time: Option<Timestamp>,
    /// Only one of the outputs.
    pub stream: LogStream,
}

/// A log to be read: the stream of its bytes.
pub type LogFile = Pin<Box<dyn Stream<Item = std::io::Result<Vec<u8>>> + Send>>;

/// Pods as the agent knows them.
pub trait Pods: Send + Sync + 'static {
    /// All that are wanted, with their status.
    fn desired(&self) -> Vec<Pod>;
    /// Those of which the runtime runs something, reduced to the names and images of what runs.
    fn running(&self) -> Vec<Pod>;
    /// The log of a container, opened.
    fn log<'a>(
        &'a self,
        namespace: &'a str,
        pod: &'a str,
        container: &'a str,
        query: &'a LogQuery,
    ) -> BoxFuture<'a, Result<LogFile, Refusal>>;
}

/// A request that cannot be granted: the HTTP status, and what the client is told.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// What the client is told.
    pub message: String,
}

/// How long a client should wait that came when the runtime had its hands full, in seconds.
const TOO_MANY_WAIT: HeaderValue = HeaderValue::from_static("60");

impl Refusal {
    /// A refusal with that status.
    #[must_use]
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// What was asked for is not there.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// The request makes no sense.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// It should have worked.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.message).into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, TOO_MANY_WAIT);
        }
        response
    }
}

/// `PodList` of `v1`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodList {
    kind: &'static str,
    api_version: &'static str,
    metadata: serde_json::Map<String, serde_json::Value>,
    items: Vec<Pod>,
}

impl PodList {
    pub(crate) fn of(items: Vec<Pod>) -> Self {
        Self { kind: "PodList", api_version: "v1", metadata: serde_json::Map::new(), items }
    }
}
