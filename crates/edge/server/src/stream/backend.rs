//! The runtime's streaming server.

use std::time::Duration;

use bytes::Bytes;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Refusal;

/// It has so long to answer; it is on this machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the runtime serves a stream.
pub(super) struct Backend {
    host: String,
    port: u16,
    authority: HeaderValue,
    path: PathAndQuery,
}

impl Backend {
    /// What the runtime's URL of a stream says.
    pub(super) fn of(url: &str) -> Result<Self, Refusal> {
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

    /// Asks for the stream, and gives the answer; what it becomes after an upgrade is for the caller to take.
    pub(super) async fn ask(
        &self,
        method: Method,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, Refusal> {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from(self.path.clone());
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::HOST, self.authority.clone());
        let asked = async {
            let stream =
                TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|e| self.away(&e))?;
            let _ = stream.set_nodelay(true);
            let handshake = http1::handshake(TokioIo::new(stream)).await;
            let (mut sender, connection) = handshake.map_err(|error| self.away(&error))?;
            // It ends with the answer, or is handed over to the upgrade.
            tokio::spawn(connection.with_upgrades());
            sender.send_request(request).await.map_err(|error| self.away(&error))
        };
        let late =
            || Refusal::failed(format!("the runtime's streaming server {} does not answer", self.name()));
        timeout(PATIENCE, asked).await.unwrap_or_else(|_| Err(late()))
    }

    fn name(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn away(&self, error: &dyn std::error::Error) -> Refusal {
        let why = telemetry::chain(error);
        Refusal::failed(format!("the runtime's streaming server {} cannot be used: {why}", self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_the_runtime() {
        let backend = Backend::of("http://127.0.0.1:35009/exec/abc?x=y").ok().unwrap();
        assert_eq!((backend.name(), backend.path.as_str()), ("127.0.0.1:35009".to_owned(), "/exec/abc?x=y"));
        let backend = Backend::of("http://[::1]/").ok().unwrap();
        assert_eq!((backend.host.as_str(), backend.port), ("::1", 80));
        for bad in ["/exec/abc", "https://127.0.0.1/exec/abc", "http://", "unix:///run/x", "nonsense abc"] {
            let refusal = Backend::of(bad).err().unwrap();
            assert!(refusal.status == 500 && !refusal.message.contains("abc"), "{bad}: {refusal}");
        }
    }
}
