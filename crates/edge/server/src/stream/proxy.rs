//! Passing an upgraded connection on to the runtime's streaming server.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use hyper_util::rt::TokioIo;
use tracing::debug;

use super::backend::Backend;
use super::hold::Hold;
use crate::Refusal;

/// Refuses what is not meant to become a stream.
pub(super) fn wanted(request: &Request) -> Result<(), Refusal> {
    let upgrade = https::wants_upgrade(request.headers());
    if upgrade { Ok(()) } else { Err(Refusal::bad_request("Upgrade request required")) }
}

/// Sends `request` on to `backend`, and connects its client with what answers there, byte for byte, until both have ended,
/// nothing was said for `idle`, or the server ends.
pub(super) async fn proxy(
    mut request: Request,
    backend: &Backend,
    idle: Duration,
) -> Result<Response, Refusal> {
    let headers = passed_on(request.headers());
    let mut answer = backend.ask(request.method().clone(), headers).await?;
    let status = answer.status();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = answer.headers().clone();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let hold = Hold::of(&request);
        let (front, back) = (hyper::upgrade::on(&mut request), hyper::upgrade::on(&mut answer));
        tokio::spawn(hold.during(async move {
            match tokio::try_join!(front, back) {
                Ok((front, back)) => https::pump(TokioIo::new(front), TokioIo::new(back), idle).await,
                Err(error) => debug!(error = telemetry::chain(&error), "A stream did not begin"),
            }
        }));
        return Ok(response);
    }
    refused(answer.map(Body::new))
}

/// What is told to a client whose stream the runtime did not begin.
pub(super) fn refused(mut answer: Response) -> Result<Response, Refusal> {
    let status = answer.status().as_u16();
    if status < 400 {
        return Err(Refusal::failed(format!("invalid upgrade response: status code {status}")));
    }
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(answer)
}

/// Headers that are the client's business with this server.
const KEPT_BACK: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::EXPECT,
];

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    for name in KEPT_BACK {
        headers.remove(name);
    }
    headers
}
