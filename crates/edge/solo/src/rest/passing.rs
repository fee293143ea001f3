//! Passing requests on to the node, and its answers back.

use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Request, StatusCode, Version, header};
use https::Connection;
use hyper_util::rt::TokioIo;
use tracing::debug;

use super::pass;
use super::route::Objects;
use crate::api::Api;
use crate::error::ApiError;

/// So much of a node's refusal is told, in bytes.
const MAX_REFUSAL: usize = 50_000;

/// Headers that are the client's business with this server.
const KEPT_BACK: [HeaderName; 4] = [header::AUTHORIZATION, header::COOKIE, header::HOST, header::EXPECT];
/// Headers of one connection, which say nothing about the next unless it is upgraded.
const OF_THE_CONNECTION: [HeaderName; 3] = [header::CONNECTION, header::UPGRADE, header::TRANSFER_ENCODING];

/// Answers a request for something that the node has.
pub(super) async fn run(
    api: &Api,
    objects: &Objects,
    mut parts: Parts,
    body: Body,
) -> Result<Response, ApiError> {
    let upgrade = https::wants_upgrade(&parts.headers);
    let stream = matches!(objects.subresource.as_str(), "exec" | "attach" | "portforward");
    let passage = pass::passage(&api.store.snapshot(), objects, &parts.uri)?;
    let Some(passage) = passage else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    if stream && !upgrade {
        return Err(ApiError::bad_request("Upgrade request required"));
    }
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() =
        passage.path.parse().map_err(|_| ApiError::bad_request("the path cannot be read"))?;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = passed_on(&parts.headers, upgrade);
    let mut answer = api.nodes.ask(&passage.place, request).await.map_err(ApiError::internal)?;
    let status = answer.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        *response.headers_mut() = answer.headers().clone();
        let over = parts.extensions.get::<Connection>().cloned();
        let Some(front) = parts.extensions.remove::<hyper::upgrade::OnUpgrade>() else {
            return Err(ApiError::bad_request("Upgrade request required"));
        };
        let back = hyper::upgrade::on(&mut answer);
        let idle = api.stream_idle;
        tokio::spawn(async move {
            let work = async {
                match tokio::try_join!(front, back) {
                    Ok((front, back)) => https::pump(TokioIo::new(front), TokioIo::new(back), idle).await,
                    Err(error) => {
                        debug!(error = &error as &dyn std::error::Error, "A stream did not begin");
                    }
                }
            };
            https::until_stopped(over.as_ref(), work).await;
        });
        return Ok(response);
    }
    if objects.subresource == "log" && !status.is_success() {
        let name = objects.name.as_deref().unwrap_or_default();
        let told = to_bytes(Body::new(answer.into_body()), MAX_REFUSAL).await.unwrap_or_default();
        return Err(refused(status, name, String::from_utf8_lossy(&told).trim_end()));
    }
    let mut response = answer.map(Body::new);
    for name in OF_THE_CONNECTION {
        response.headers_mut().remove(name);
    }
    Ok(response)
}

/// What a client is told of a node's refusal of a log, as kube-apiserver puts it.
fn refused(status: StatusCode, name: &str, told: &str) -> ApiError {
    match status {
        StatusCode::BAD_REQUEST => ApiError::bad_request(told),
        StatusCode::NOT_FOUND => {
            let mut error = ApiError::no_such_path();
            error.message += &format!(" ( pods/log {name})");
            error
        }
        StatusCode::INTERNAL_SERVER_ERROR => ApiError::internal(format!("Internal error occurred: {told}")),
        _ => ApiError::internal(format!("the node answers {status}: {told}")),
    }
}

fn passed_on(headers: &HeaderMap, upgrade: bool) -> HeaderMap {
    let mut headers = headers.clone();
    for name in KEPT_BACK {
        headers.remove(name);
    }
    let impersonated: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    for name in impersonated {
        headers.remove(name);
    }
    if !upgrade {
        for name in OF_THE_CONNECTION {
            headers.remove(name);
        }
    }
    headers
}
