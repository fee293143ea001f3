//! Counting requests.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::Method;
use tokio::sync::watch;

use super::Needs;
use crate::Metrics;
use crate::metrics::InFlight;

/// First parts of paths that are told apart; all others are `other`.
const PATHS: [&str; 23] = [
    "attach",
    "checkpoint",
    "configz",
    "containerLogs",
    "debug",
    "exec",
    "flagz",
    "healthz",
    "logs",
    "metrics",
    "metrics/cadvisor",
    "metrics/probes",
    "metrics/resource",
    "metrics/slis",
    "pods",
    "portForward",
    "pprof",
    "run",
    "runningpods",
    "stats",
    "statusz",
    "",
    "other",
];
const METHODS: [&str; 8] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT", "TRACE"];
/// Requests that may take as long as they like.
const LONG: [&str; 4] = ["attach", "debug", "exec", "portForward"];

/// The request that is being answered, as an extension of it: whoever goes on after the answer, holds it.
#[derive(Clone)]
pub(crate) struct Counted {
    _request: Arc<InFlight>,
}

/// Counts requests until their answers are sent.
#[derive(Clone)]
pub(super) struct Counting {
    metrics: Metrics,
    answered: watch::Sender<()>,
    read_only: bool,
}

impl Counting {
    /// Those of a port.
    pub(super) fn of(needs: &Needs, read_only: bool) -> Self {
        Self { metrics: needs.metrics.clone(), answered: needs.answered.clone(), read_only }
    }

    /// `router`, whose requests are counted.
    pub(super) fn around(self, router: Router) -> Router {
        router.layer(from_fn(move |mut request: Request, next: Next| {
            let labels = labels(request.method(), request.uri().path(), self.read_only);
            let counted = Counted { _request: Arc::new(self.metrics.request(labels)) };
            let answered = self.answered.clone();
            async move {
                request.extensions_mut().insert(counted.clone());
                let response: Response = next.run(request).await;
                answered.send_replace(());
                response.map(|body| https::held(body, counted))
            }
        }))
    }
}

fn labels(method: &Method, path: &str, read_only: bool) -> [&'static str; 4] {
    let method = METHODS.into_iter().find(|known| *known == method.as_str()).unwrap_or("other");
    let path = bucket(path);
    let server = if read_only { "readonly" } else { "readwrite" };
    [method, path, server, if LONG.contains(&path) { "true" } else { "false" }]
}

/// The first part of a path, or the first two below `metrics`.
fn bucket(path: &str) -> &'static str {
    let path = path.strip_prefix('/').unwrap_or(path);
    let parts = if path.starts_with("metrics/") { 2 } else { 1 };
    let end = path.match_indices('/').nth(parts - 1).map_or(path.len(), |(at, _)| at);
    let root = &path[..end];
    PATHS.into_iter().find(|known| *known == root && !root.is_empty()).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_by_method_and_first_part() {
        for (method, path, expected) in [
            ("GET", "/pods", ["GET", "pods", "readwrite", "false"]),
            ("POST", "/exec/a/b/c", ["POST", "exec", "readwrite", "true"]),
            ("GET", "/portForward/a/b", ["GET", "portForward", "readwrite", "true"]),
            ("GET", "/metrics", ["GET", "metrics", "readwrite", "false"]),
            ("GET", "/metrics/cadvisor", ["GET", "metrics/cadvisor", "readwrite", "false"]),
            ("GET", "/metrics/nothing", ["GET", "other", "readwrite", "false"]),
            ("GET", "/logs/a/b", ["GET", "logs", "readwrite", "false"]),
            ("BREW", "/coffee", ["other", "other", "readwrite", "false"]),
            ("GET", "/", ["GET", "other", "readwrite", "false"]),
            ("GET", "*", ["GET", "other", "readwrite", "false"]),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(labels(&method, path, false), expected, "{path}");
        }
        assert_eq!(labels(&Method::GET, "/healthz", true)[2], "readonly");
    }
}
