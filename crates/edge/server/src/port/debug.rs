//! `/debug`: how much is logged, and what a program in Rust can give of Go's profiles.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};
use profile::ProfileError;

use super::needs::Shared;
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

/// What Go's programs have besides (`net/http/pprof`).
const OF_GO: [&str; 8] = ["allocs", "block", "goroutine", "heap", "mutex", "symbol", "threadcreate", "trace"];
/// How long CPU time is profiled unless a client says otherwise, and at most, in seconds.
const USUAL: u64 = 30;
const AT_MOST: u64 = 3600;

/// What there is.
pub(super) async fn index() -> &'static str {
    "cmdline\nprofile\n\nprofile is CPU time, of so many `seconds`. It has addresses: `go tool pprof BERTH PROFILE` \
     finds their names in the program BERTH. There is no Go runtime, and no other profile.\n"
}

/// The program's arguments, each ended by a NUL but the last.
pub(super) async fn cmdline() -> Vec<u8> {
    std::env::args_os().map(std::ffi::OsString::into_encoded_bytes).collect::<Vec<_>>().join(&0)
}

/// A profile of CPU time, for so many `seconds` as the client says.
pub(super) async fn cpu(Query(pairs): Query<HashMap<String, String>>) -> Result<Response, Refusal> {
    let long = seconds(pairs.get("seconds").map_or("", String::as_str))?;
    let profile = profile::cpu(Duration::from_secs(long)).await.map_err(|error| match error {
        error @ (ProfileError::InUse | ProfileError::Refused(_)) => {
            Refusal::failed(format!("Could not enable CPU profiling: {}", telemetry::chain(&error)))
        }
        error => Refusal::failed(telemetry::chain(&error)),
    })?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"profile\""),
    ];
    Ok((headers, profile).into_response())
}

/// The usual time for what is no positive number, as Go has it.
fn seconds(text: &str) -> Result<u64, Refusal> {
    let long = text.parse().ok().filter(|long| *long > 0).unwrap_or(USUAL);
    if long > AT_MOST {
        return Err(Refusal::bad_request(format!("a profile takes {AT_MOST} seconds at most")));
    }
    Ok(long)
}

/// A profile that there is not.
pub(super) async fn other(Path(name): Path<String>) -> Response {
    if !OF_GO.contains(&&*name) {
        return (StatusCode::NOT_FOUND, format!("there is no profile {name:?}\n")).into_response();
    }
    let text = format!(
        "this program has no Go runtime, and no profile {name:?}: /debug/pprof/profile has its CPU time, /metrics its \
         memory\n"
    );
    (StatusCode::NOT_IMPLEMENTED, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_profile_takes() {
        for (text, expected) in [("5", 5), ("", 30), ("0", 30), ("-1", 30), ("x", 30), ("3600", 3600)] {
            assert_eq!(seconds(text).ok(), Some(expected), "{text}");
        }
        assert_eq!(seconds("3601").err().map(|refusal| refusal.status.as_u16()), Some(400));
    }
}
