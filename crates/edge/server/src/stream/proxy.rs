//! Passing an upgraded connection on to the runtime's streaming server.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use http_body_util::Empty;
use https::Connection;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

use super::pump::pump;
use crate::Refusal;
use crate::port::Counted;

/// The runtime has so long to answer; its streaming server is on this machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Refuses what is not meant to become a stream.
pub(super) fn wanted(request: &Request) -> Result<(), Refusal> {
    let tokens = request.headers().get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let upgrade =
        tokens.flat_map(|value| value.split(',')).any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    if upgrade { Ok(()) } else { Err(Refusal::bad_request("Upgrade request required")) }
}

/// Sends `request` on to `url`, and connects its client with what answers there, byte for byte, until both have ended,
/// nothing was said for `idle`, or the server ends.
pub(super) async fn proxy(mut request: Request, url: &str, idle: Duration) -> Result<Response, Refusal> {
    let place = Place::of(url)?;
    let onward = place.request(&request)?;
    let asked = async {
        let stream =
            TcpStream::connect((place.host.as_str(), place.port)).await.map_err(|e| place.away(&e))?;
        let _ = stream.set_nodelay(true);
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| place.away(&error))?;
        // It ends with the answer, or is handed over to the upgrade.
        tokio::spawn(connection.with_upgrades());
        sender.send_request(onward).await.map_err(|error| place.away(&error))
    };
    let Ok(answer) = timeout(PATIENCE, asked).await else {
        return Err(Refusal::failed(format!(
            "the runtime's streaming server {} does not answer",
            place.name()
        )));
    };
    let mut answer = answer?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let over = request.extensions().get::<Connection>().cloned();
        let counted = request.extensions().get::<Counted>().cloned();
        let (front, back) = (hyper::upgrade::on(&mut request), hyper::upgrade::on(&mut answer));
        tokio::spawn(async move {
            let streamed = async {
                let (front, back) = (front.await?, back.await?);
                pump(TokioIo::new(front), TokioIo::new(back), idle).await;
                Ok::<_, hyper::Error>(())
            };
            let stopping = async {
                match &over {
                    Some(over) => over.stopping().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                streamed = streamed => if let Err(error) = streamed {
                    debug!(error = telemetry::chain(&error), "A stream did not begin");
                },
                () = stopping => {}
            }
            drop(counted);
        });
        return Ok(response);
    }
    if status.as_u16() < 400 {
        return Err(Refusal::failed(format!("invalid upgrade response: status code {}", status.as_u16())));
    }
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    *response.body_mut() = Body::new(answer.into_body());
    Ok(response)
}

/// Where the runtime serves streams.
struct Place {
    host: String,
    port: u16,
    authority: HeaderValue,
    path: PathAndQuery,
}

impl Place {
    fn of(url: &str) -> Result<Self, Refusal> {
        // The URL has a token in it, by which anybody may use the stream.
        let bad = |why: &str| Refusal::failed(format!("the runtime's URL of a stream {why}"));
        let uri: Uri = url.parse().map_err(|_| bad("cannot be read"))?;
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(bad(
                "is not HTTP: turn off TLS of its streaming server, which listens on this machine alone",
            ));
        }
        let authority = uri.authority().ok_or_else(|| bad("names no host"))?;
        let host = authority.host();
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| bad("names no host"))?,
            path: uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
        })
    }

    fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn away(&self, error: &dyn std::error::Error) -> Refusal {
        let why = telemetry::chain(error);
        Refusal::failed(format!("the runtime's streaming server {} cannot be used: {why}", self.name()))
    }

    /// The request as it is sent there: what the client said of the stream, and nothing of who the client is.
    fn request(&self, from: &Request) -> Result<http::Request<Empty<Bytes>>, Refusal> {
        let mut onward = http::Request::new(Empty::new());
        *onward.method_mut() = from.method().clone();
        *onward.uri_mut() = Uri::from(self.path.clone());
        *onward.headers_mut() = passed_on(from.headers());
        onward.headers_mut().insert(header::HOST, self.authority.clone());
        Ok(onward)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_the_runtime() {
        let place = Place::of("http://127.0.0.1:35009/exec/abc?x=y").ok().unwrap();
        assert_eq!((place.name(), place.path.as_str()), ("127.0.0.1:35009".to_owned(), "/exec/abc?x=y"));
        let place = Place::of("http://[::1]/").ok().unwrap();
        assert_eq!((place.host.as_str(), place.port), ("::1", 80));
        for bad in ["/exec/abc", "https://127.0.0.1/exec/abc", "http://", "unix:///run/x", "nonsense abc"] {
            let refusal = Place::of(bad).err().unwrap();
            assert!(refusal.status == 500 && !refusal.message.contains("abc"), "{bad}: {refusal}");
        }
    }
}
