//! What is counted about requests to the node, under the kubelet's names.

use std::time::Duration;

use telemetry::metrics::{Counter, Gauge, Histogram, PROM_DEFAULT_BUCKETS, Registry, Stability};
use tokio::time::Instant;

use crate::auth::ReviewError;
use crate::podresources;

const REVIEW_BUCKETS: &[f64] = &[0.25, 0.5, 0.7, 1.0, 1.5, 3.0, 5.0, 10.0];
/// From half an hour to a year, in seconds.
const CERTIFICATE_BUCKETS: &[f64] = &[
    0.0,
    1800.0,
    3600.0,
    7200.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    345_600.0,
    604_800.0,
    2_592_000.0,
    7_776_000.0,
    15_552_000.0,
    31_104_000.0,
];

/// Metrics of the port and of those who come to it.
#[derive(Clone)]
pub struct Metrics {
    requests: Counter,
    durations: Histogram,
    inflight: Gauge,
    websockets: Counter,
    certificate_left: Histogram,
    token_reviews: Counter,
    token_review_duration: Histogram,
    access_reviews: Counter,
    access_review_duration: Histogram,
    token_requests: Counter,
    token_request_duration: Histogram,
    token_fetches: Counter,
    token_fetches_active: Gauge,
    /// Those of the PodResources service.
    pub pod_resources: podresources::Metrics,
}

const REQUEST_LABELS: &[&str] = &["method", "path", "server_type", "long_running"];

impl Metrics {
    /// The families, registered.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let alpha = Stability::Alpha;
        Self {
            requests: registry.counter(
                "kubelet_http_requests_total",
                "Number of the http requests received since the server started",
                alpha,
                REQUEST_LABELS,
            ),
            durations: registry.histogram(
                "kubelet_http_requests_duration_seconds",
                "Duration in seconds to serve http requests",
                alpha,
                REQUEST_LABELS,
                PROM_DEFAULT_BUCKETS,
            ),
            inflight: registry.gauge(
                "kubelet_http_inflight_requests",
                "Number of the inflight http requests",
                alpha,
                REQUEST_LABELS,
            ),
            websockets: registry.counter(
                "kubelet_websocket_streaming_requests_total",
                "Streams to containers whose WebSocket is translated for the runtime, by subresource.",
                alpha,
                &["subresource"],
            ),
            certificate_left: registry.histogram(
                "apiserver_client_certificate_expiration_seconds",
                "Distribution of the remaining lifetime on the certificate used to authenticate a request.",
                alpha,
                &[],
                CERTIFICATE_BUCKETS,
            ),
            token_reviews: registry.counter(
                "apiserver_delegated_authn_request_total",
                "Number of HTTP requests partitioned by status code.",
                alpha,
                &["code"],
            ),
            token_review_duration: registry.histogram(
                "apiserver_delegated_authn_request_duration_seconds",
                "Request latency in seconds. Broken down by status code.",
                alpha,
                &["code"],
                REVIEW_BUCKETS,
            ),
            access_reviews: registry.counter(
                "apiserver_delegated_authz_request_total",
                "Number of HTTP requests partitioned by status code.",
                alpha,
                &["code"],
            ),
            access_review_duration: registry.histogram(
                "apiserver_delegated_authz_request_duration_seconds",
                "Request latency in seconds. Broken down by status code.",
                alpha,
                &["code"],
                REVIEW_BUCKETS,
            ),
            token_requests: registry.counter(
                "authentication_token_cache_request_total",
                "Tokens that were looked up, by whether it was known whom they are for.",
                alpha,
                &["status"],
            ),
            token_request_duration: registry.histogram(
                "authentication_token_cache_request_duration_seconds",
                "How long looking up a token took, by whether it was known whom it is for.",
                alpha,
                &["status"],
                PROM_DEFAULT_BUCKETS,
            ),
            token_fetches: registry.counter(
                "authentication_token_cache_fetch_total",
                "Reviews of tokens, by whether there was an answer.",
                alpha,
                &["status"],
            ),
            token_fetches_active: registry.gauge(
                "authentication_token_cache_active_fetch_count",
                "Reviews of tokens that are under way.",
                alpha,
                &["status"],
            ),
            pod_resources: podresources::Metrics::register(registry),
        }
    }

    /// Counts a request until the guard is dropped.
    pub(crate) fn request(&self, labels: [&'static str; 4]) -> InFlight {
        self.requests.inc(&labels);
        self.inflight.add(&labels, 1.0);
        InFlight { metrics: self.clone(), labels, begun: Instant::now() }
    }

    pub(crate) fn websocket(&self, subresource: &str) {
        self.websockets.inc(&[subresource]);
    }

    /// A client was known by a certificate that has so many seconds left.
    pub(crate) fn certificate_ends_in(&self, seconds: i64) {
        #[allow(clippy::cast_precision_loss, reason = "no certificate lasts 2^52 seconds")]
        let seconds = seconds as f64;
        self.certificate_left.observe(&[], seconds);
    }

    pub(crate) fn token_reviewed<T>(&self, answer: &Result<T, ReviewError>, took: Duration) {
        let code = code(answer);
        self.token_reviews.inc(&[&code]);
        self.token_review_duration.observe(&[&code], took.as_secs_f64());
        self.token_fetches.inc(&[if answer.is_ok() { "ok" } else { "error" }]);
    }

    pub(crate) fn access_reviewed<T>(&self, answer: &Result<T, ReviewError>, took: Duration) {
        let code = code(answer);
        self.access_reviews.inc(&[&code]);
        self.access_review_duration.observe(&[&code], took.as_secs_f64());
    }

    pub(crate) fn token_looked_up(&self, hit: bool, took: Duration) {
        let status = if hit { "hit" } else { "miss" };
        self.token_requests.inc(&[status]);
        self.token_request_duration.observe(&[status], took.as_secs_f64());
    }

    /// Counts a review of a token until the guard is dropped.
    pub(crate) fn fetching_token(&self) -> Fetching {
        self.token_fetches_active.add(&["in_flight"], 1.0);
        Fetching(self.token_fetches_active.clone())
    }
}

/// As client-go has it for a creation that worked, and for one that was not answered.
fn code<T>(answer: &Result<T, ReviewError>) -> String {
    match answer {
        Ok(_) => "201".to_owned(),
        Err(error) => error.code.map_or_else(|| "<error>".to_owned(), |code| code.to_string()),
    }
}

/// A review that is under way.
pub(crate) struct Fetching(Gauge);

impl Drop for Fetching {
    fn drop(&mut self) {
        self.0.add(&["in_flight"], -1.0);
    }
}

/// A request that is being answered.
pub(crate) struct InFlight {
    metrics: Metrics,
    labels: [&'static str; 4],
    begun: Instant,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.metrics.inflight.add(&self.labels, -1.0);
        self.metrics.durations.observe(&self.labels, self.begun.elapsed().as_secs_f64());
    }
}
