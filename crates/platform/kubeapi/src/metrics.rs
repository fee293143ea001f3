//! What is counted about requests to the API server, under client-go's names.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use telemetry::metrics::{Counter, Histogram, MetricKind, Registry, Stability};

/// Metrics of requests to the API server.
#[derive(Clone)]
pub struct Metrics {
    requests: Counter,
    duration: Histogram,
    waited: Histogram,
    request_size: Histogram,
    response_size: Histogram,
    retries: Counter,
    plugin_calls: Counter,
    plugin_expires: Arc<Mutex<Option<Timestamp>>>,
}

/// Seconds.
const DURATIONS: &[f64] = &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];
/// Bytes.
const SIZES: &[f64] = &[
    64.0,
    256.0,
    512.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];

impl Metrics {
    /// Metrics that `registry` exposes.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let verb_host: &[&str] = &["verb", "host"];
        let alpha = Stability::Alpha;
        let plugin_expires = Arc::default();
        collect_ttl(registry, &plugin_expires);
        Self {
            requests: registry.counter(
                "rest_client_requests_total",
                "Number of HTTP requests, partitioned by status code, method, and host.",
                alpha,
                &["code", "method", "host"],
            ),
            duration: registry.histogram(
                "rest_client_request_duration_seconds",
                "Request latency in seconds. Broken down by verb, and host.",
                alpha,
                verb_host,
                DURATIONS,
            ),
            waited: registry.histogram(
                "rest_client_rate_limiter_duration_seconds",
                "Client side rate limiter latency in seconds. Broken down by verb, and host.",
                alpha,
                verb_host,
                DURATIONS,
            ),
            request_size: registry.histogram(
                "rest_client_request_size_bytes",
                "Request size in bytes. Broken down by verb and host.",
                alpha,
                verb_host,
                SIZES,
            ),
            response_size: registry.histogram(
                "rest_client_response_size_bytes",
                "Response size in bytes. Broken down by verb and host.",
                alpha,
                verb_host,
                SIZES,
            ),
            retries: registry.counter(
                "rest_client_request_retries_total",
                "Number of request retries, partitioned by status code, verb, and host.",
                alpha,
                &["code", "verb", "host"],
            ),
            plugin_calls: registry.counter(
                "rest_client_exec_plugin_call_total",
                "Number of calls to an exec plugin, partitioned by the type of event encountered (no_error, \
                 plugin_execution_error, plugin_not_found_error, client_internal_error) and an optional exit code. \
                 The exit code will be set to 0 if and only if the plugin call was successful.",
                alpha,
                &["code", "call_status"],
            ),
            plugin_expires,
        }
    }

    /// The metrics of requests to `host`.
    pub(crate) fn of(&self, host: &str) -> HostMetrics {
        HostMetrics { metrics: self.clone(), host: host.to_owned() }
    }
}

/// Metrics of requests to one host.
pub(crate) struct HostMetrics {
    metrics: Metrics,
    host: String,
}

impl HostMetrics {
    pub(crate) fn waited(&self, method: &str, duration: Duration) {
        self.metrics.waited.observe(&[method, &self.host], duration.as_secs_f64());
    }

    /// One attempt of a request that was answered with `code`, or `<error>`.
    pub(crate) fn answered(&self, method: &str, code: &str, duration: Duration, request_size: usize) {
        self.metrics.requests.inc(&[code, method, &self.host]);
        self.metrics.duration.observe(&[method, &self.host], duration.as_secs_f64());
        self.metrics.request_size.observe(&[method, &self.host], size(request_size));
    }

    pub(crate) fn received(&self, method: &str, bytes: usize) {
        self.metrics.response_size.observe(&[method, &self.host], size(bytes));
    }

    pub(crate) fn retried(&self, method: &str, code: &str) {
        self.metrics.retries.inc(&[code, method, &self.host]);
    }

    pub(crate) fn plugin_called(&self, code: &str, status: &str) {
        self.metrics.plugin_calls.inc(&[code, status]);
    }

    /// When what a plugin printed expires, if ever.
    pub(crate) fn plugin_expires(&self, at: Option<Timestamp>) {
        *self.metrics.plugin_expires.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

/// The time that is left changes by itself, so it is computed when it is read.
fn collect_ttl(registry: &Registry, expires: &Arc<Mutex<Option<Timestamp>>>) {
    let expires = Arc::clone(expires);
    registry.collector(Box::new(move |encoder| {
        let expires = *expires.lock().unwrap_or_else(PoisonError::into_inner);
        let left = expires.map_or(f64::INFINITY, |at| at.duration_since(Timestamp::now()).as_secs_f64());
        encoder
            .family(
                "rest_client_exec_plugin_ttl_seconds",
                "Gauge of the shortest TTL (time-to-live) of the client certificate(s) managed by the auth exec \
                 plugin. The value is in seconds until certificate expiry (negative if already expired). If auth \
                 exec plugins are unused or manage no TLS certificates, the value will be +INF.",
                Stability::Alpha,
                MetricKind::Gauge,
            )
            .sample(&[], left);
    }));
}

#[allow(clippy::cast_precision_loss)]
fn size(bytes: usize) -> f64 {
    bytes as f64
}
