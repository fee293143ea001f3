//! `/debug`: how much is logged, and what a program in Rust can give of Go's profiles.

use std::sync::Arc;

use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};

use super::Shared;
use crate::Refusal;

/// More digits than any verbosity has.
const LONGEST: usize = 64;

/// Sets the verbosity of the log to the number in the body, as klog's flag `-v` would.
pub(super) async fn verbosity(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, Refusal> {
    if request.method() != Method::PUT {
        let text = "unrecognized http method";
        return Err(Refusal::new(StatusCode::NOT_ACCEPTABLE, text));
    }
    let body = to_bytes(request.into_body(), LONGEST).await.unwrap_or_else(|_| Bytes::from_static(b"?"));
    let text = String::from_utf8_lossy(&body);
    let verbosity = text.trim().parse().map_err(|_| {
        Refusal::bad_request(format!("failed to set klog.logging.verbosity: {:?} is no number", text.trim()))
    })?;
    (shared.needs.process.set_verbosity)(verbosity);
    Ok(format!("successfully set klog.logging.verbosity to {verbosity}").into_response())
}

/// Profiles that Go's programs have (`net/http/pprof`).
const OF_GO: [&str; 9] =
    ["allocs", "block", "goroutine", "heap", "mutex", "profile", "symbol", "threadcreate", "trace"];

/// What there is.
pub(super) async fn index() -> &'static str {
    "cmdline\n\nThis program has no Go runtime, and samples nothing by itself: profile it with perf(1), whose \
     `perf record -g -p PID` needs nothing of it.\n"
}

/// The program's arguments, each ended by a NUL but the last.
pub(super) async fn cmdline() -> Vec<u8> {
    std::env::args_os().map(std::ffi::OsString::into_encoded_bytes).collect::<Vec<_>>().join(&0)
}

/// A profile that there is not.
pub(super) async fn profile(Path(name): Path<String>) -> Response {
    if !OF_GO.contains(&&*name) {
        return (StatusCode::NOT_FOUND, format!("there is no profile {name:?}\n")).into_response();
    }
    let pid = std::process::id();
    let text = format!(
        "this program has no Go runtime, and no profile {name:?}: use perf(1) on the node, \
         `perf record -g -p {pid} -- sleep 30` for CPU time; /metrics has its memory\n"
    );
    (StatusCode::NOT_IMPLEMENTED, text).into_response()
}
