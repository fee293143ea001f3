//! One GET over HTTP/1.1, with or without TLS.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::manifest::MAX_BYTES;

/// Redirects followed for one request.
const MAX_REDIRECTS: usize = 10;

/// Why a URL or its headers cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// It is no URL.
    #[error("malformed URL")]
    Malformed(#[source] http::Error),
    /// It has no host, or another scheme.
    #[error("expected http://host/… or https://host/…")]
    Scheme,
    /// A header's name or value has characters that no header may have.
    #[error("the header {0:?} is malformed")]
    Header(String),
    /// There are no certificates to trust.
    #[error("the system's root certificates could not be loaded (on Debian: install ca-certificates)")]
    Roots(#[source] std::io::Error),
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[source] rustls::Error),
}

/// Why a GET did not bring a body.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("could not connect to {0}")]
    Connect(String, #[source] std::io::Error),
    #[error("the TLS handshake with {0} failed")]
    Handshake(String, #[source] std::io::Error),
    #[error("the request failed")]
    Request(#[source] hyper::Error),
    #[error("the answer has status {0}, not 200")]
    Status(StatusCode),
    #[error("the answer is longer than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("the answer broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the redirect to {0:?} cannot be followed")]
    Redirect(String),
    #[error("more than {MAX_REDIRECTS} redirects")]
    Redirects,
}

/// A URL and the headers to ask it with.
pub(crate) struct Endpoint {
    url: String,
    uri: Uri,
    headers: HeaderMap,
    tls: Option<TlsConnector>,
}

impl std::fmt::Debug for Endpoint {
    /// Without the headers, which may hold a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Endpoint {
    pub(crate) fn new(url: &str, headers: &[(String, String)]) -> Result<Self, EndpointError> {
        let uri: Uri = url.parse().map_err(|error| EndpointError::Malformed(http::Error::from(error)))?;
        if !usable(&uri) {
            return Err(EndpointError::Scheme);
        }
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let bad = || EndpointError::Header(name.clone());
            let key: HeaderName = name.parse().map_err(|_| bad())?;
            map.append(key, HeaderValue::from_str(value).map_err(|_| bad())?);
        }
        let tls = if uri.scheme_str() == Some("https") { Some(connector()?) } else { None };
        Ok(Self { url: url.to_owned(), uri, headers: map, tls })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The body of the answer, following redirects.
    pub(crate) async fn get(&self) -> Result<Bytes, FetchError> {
        let mut uri = self.uri.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.ask(&uri).await?;
            if answer.status() == StatusCode::OK {
                let body = Limited::new(answer.into_body(), MAX_BYTES).collect().await;
                return body.map(http_body_util::Collected::to_bytes).map_err(|error| {
                    if error.is::<LengthLimitError>() {
                        FetchError::TooLarge
                    } else {
                        FetchError::Body(error)
                    }
                });
            }
            let location = answer.headers().get(header::LOCATION);
            let Some(location) = location.filter(|_| answer.status().is_redirection()) else {
                return Err(FetchError::Status(answer.status()));
            };
            let text = String::from_utf8_lossy(location.as_bytes()).into_owned();
            uri = redirected(&uri, &text).ok_or(FetchError::Redirect(text))?;
        }
        Err(FetchError::Redirects)
    }

    async fn ask(&self, uri: &Uri) -> Result<Response<Incoming>, FetchError> {
        let secure = uri.scheme_str() == Some("https");
        let host = uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let peer = || format!("{host}:{port}");
        let stream =
            TcpStream::connect((bare, port)).await.map_err(|error| FetchError::Connect(peer(), error))?;
        let request = self.request(uri);
        if !secure {
            return exchange(stream, request).await;
        }
        let unusable = |what: &str| FetchError::Redirect(format!("{uri} ({what})"));
        let tls = self.tls.as_ref().ok_or_else(|| unusable("TLS was not set up for an http URL"))?;
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| unusable("not a host name"))?;
        let stream = tls.connect(name, stream).await.map_err(|error| FetchError::Handshake(peer(), error))?;
        exchange(stream, request).await
    }

    fn request(&self, uri: &Uri) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        let target = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        *request.uri_mut() = target.parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Some(host) = uri.authority().and_then(|authority| {
            HeaderValue::from_str(authority.as_str().rsplit('@').next().unwrap_or_default()).ok()
        }) {
            headers.insert(header::HOST, host);
        }
        for (name, value) in &self.headers {
            // What lets us in here is nobody else's business.
            let secret = [header::AUTHORIZATION, header::COOKIE].contains(name);
            if !secret || uri.authority() == self.uri.authority() {
                if name == header::HOST {
                    headers.insert(name, value.clone());
                } else {
                    headers.append(name, value.clone());
                }
            }
        }
        request
    }
}

fn usable(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
}

/// Where a redirect leads: to a whole URL, or to another path of the same server. Never from https to http.
fn redirected(from: &Uri, location: &str) -> Option<Uri> {
    let uri = if location.starts_with('/') && !location.starts_with("//") {
        let path = location.parse::<http::uri::PathAndQuery>().ok()?;
        let mut parts = from.clone().into_parts();
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).ok()?
    } else {
        location.parse().ok()?
    };
    let downgrade = from.scheme_str() == Some("https") && uri.scheme_str() != Some("https");
    (usable(&uri) && !downgrade).then_some(uri)
}

fn connector() -> Result<TlsConnector, EndpointError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found
            .errors
            .into_iter()
            .next()
            .map_or_else(|| "none found".to_owned(), |error| error.to_string());
        return Err(EndpointError::Roots(std::io::Error::other(why)));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(EndpointError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Sends `request` over `stream`. The connection is driven beside, and ends with the answer's body.
async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Response<Incoming>, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(FetchError::Request)?;
    // It ends when the sender and the body are gone; its error is the request's or the body's too.
    tokio::spawn(async move {
        let _ = connection.await;
    });
    sender.send_request(request).await.map_err(FetchError::Request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_of_http() {
        for url in ["", "/a", "ftp://x/", "http://", "x y"] {
            assert!(Endpoint::new(url, &[]).is_err(), "{url}");
        }
        assert!(Endpoint::new("http://x", &[("A b".into(), String::new())]).is_err());
        assert!(Endpoint::new("http://[::1]:80/a?b", &[("A".into(), "b".into())]).is_ok());
    }

    #[test]
    fn redirects() {
        let from = |url: &str, location: &str| {
            redirected(&url.parse().unwrap(), location).map(|uri| uri.to_string())
        };
        assert_eq!(from("http://x/a", "/b?c").as_deref(), Some("http://x/b?c"));
        assert_eq!(from("http://x/a", "https://y/b").as_deref(), Some("https://y/b"));
        assert_eq!(from("https://x/a", "http://y/b"), None);
        assert_eq!(from("http://x/a", "b"), None);
    }
}
