//! The httpGet hook. Like probes it trusts no certificate and distrusts none: it talks to the pod itself.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Uri;
use http::uri::{Authority, PathAndQuery};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use types::Event;
use types::corev1::HTTPGetAction;

use super::{HookContext, HookError, aim};

/// How hooks name themselves: as the kubelet's of the Kubernetes version that berth follows.
const USER_AGENT: &str = "kube-lifecycle/1.36";

/// Redirects followed for one hook.
const MAX_REDIRECTS: usize = 10;
/// The statuses that redirect a GET.
const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// What an answer in clear text begins with.
const HTTP: &[u8; 5] = b"HTTP/";

/// Makes the request, and those that answers redirect it to on the same host. Any other answer is a success, whatever
/// its status: that is the contract of lifecycle hooks, unlike that of probes. The body is not read.
pub(super) async fn get(get: &HTTPGetAction, context: &HookContext<'_>) -> Result<(), HookError> {
    let address = aim(get.host.as_deref(), &get.port, context)?;
    let path = get.path.as_deref().unwrap_or("/");
    let slash = if path.starts_with('/') { "" } else { "/" };
    let scheme = if get.scheme.as_deref() == Some("HTTPS") { "https" } else { "http" };
    let url = format!("{scheme}://{address}{slash}{path}");
    let failed = |url: &dyn fmt::Display, problem| HookError::Http { url: url.to_string(), problem };
    let mut hop = Hop { url: url.parse::<Uri>().map_err(|e| failed(&url, e.to_string()))?, own_host: true };
    for _ in 0..=MAX_REDIRECTS {
        let answer = ask(get, &hop, context).await.map_err(|problem| failed(&hop.url, problem))?;
        let Some(location) = answer else { return Ok(()) };
        let next = hop.next(&location);
        let next = next.ok_or_else(|| failed(&hop.url, format!("cannot be redirected to {location:?}")))?;
        if next.url.host() != hop.url.host() {
            return Ok(());
        }
        hop = next;
    }
    Err(failed(&url, format!("stopped after {MAX_REDIRECTS} redirects")))
}

/// One request of a chain of redirects.
struct Hop {
    url: Uri,
    /// Whether a Host header of the hook's own is sent: not where a whole URL redirected it to.
    own_host: bool,
}

impl Hop {
    /// Where `location` leads from here: a whole URL, one without a scheme, a path, or a path beside this one.
    fn next(&self, location: &str) -> Option<Self> {
        let (scheme, authority) = (self.url.scheme_str()?, self.url.authority()?);
        let whole = location.starts_with("http://") || location.starts_with("https://");
        let text = if whole {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else {
            let here = self.url.path();
            let kept = if location.starts_with('?') { here } else { here.rsplit_once('/')?.0 };
            let slash = if location.starts_with('?') { "" } else { "/" };
            format!("{scheme}://{authority}{kept}{slash}{location}")
        };
        let url: Uri = text.parse().ok()?;
        url.host()?;
        Some(Self { url, own_host: self.own_host && !whole && !location.starts_with("//") })
    }
}

/// One request: where its answer redirects it to, if it does. A server that answers a TLS handshake in HTTP is asked
/// again in clear text.
async fn ask(get: &HTTPGetAction, hop: &Hop, context: &HookContext<'_>) -> Result<Option<String>, String> {
    let https = hop.url.scheme_str() == Some("https");
    let host = hop.url.host().unwrap_or_default();
    let port = hop.url.port_u16().unwrap_or(if https { 443 } else { 80 });
    let address = format!("{host}:{port}");
    let connect = async || TcpStream::connect(&*address).await.map_err(|error| error.to_string());
    let request = |authorized| request(get, hop, authorized).map_err(|error| error.to_string());
    if !https {
        return exchange(connect().await?, request(true)?).await;
    }
    match secure(connect().await?, host).await {
        Ok(stream) => exchange(stream, request(true)?).await,
        Err(Refused::Tls(problem)) => Err(problem),
        Err(Refused::SpeaksHttp) => {
            // What was meant for an encrypted connection is not sent over another one.
            let answer = exchange(connect().await?, request(false)?).await?;
            context.metrics.http_fallbacks.inc(&[]);
            context.recorder.record(Event::warning(
                context.pod,
                types::reason::event::LIFECYCLE_HTTP_FALLBACK,
                format!(
                    "request to HTTPS lifecycle hook {address} got HTTP response, retry with HTTP succeeded"
                ),
            ));
            Ok(answer)
        }
    }
}

fn request(
    get: &HTTPGetAction,
    hop: &Hop,
    authorized: bool,
) -> Result<http::Request<Empty<Bytes>>, http::Error> {
    use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, USER_AGENT as AGENT};
    let path = hop.url.path_and_query().map_or("/", PathAndQuery::as_str);
    let address = hop.url.authority().map_or("", Authority::as_str);
    let mut request = http::Request::get(path);
    let given = get.http_headers.as_deref().unwrap_or_default();
    let given = given.iter().filter(|header| {
        let is = |name: &http::HeaderName| header.name.eq_ignore_ascii_case(name.as_str());
        (authorized || !is(&AUTHORIZATION)) && (hop.own_host || !is(&HOST))
    });
    let has = |name: &http::HeaderName| given.clone().any(|h| h.name.eq_ignore_ascii_case(name.as_str()));
    for (name, value) in [(HOST, address), (AGENT, USER_AGENT), (ACCEPT, "*/*"), (CONNECTION, "close")] {
        if !has(&name) {
            request = request.header(name, value);
        }
    }
    for header in given {
        request = request.header(&header.name, &header.value);
    }
    request.body(Empty::new())
}

/// Sends `request` and waits for the head of the answer: where it redirects to, if it does.
async fn exchange<S>(stream: S, request: http::Request<Empty<Bytes>>) -> Result<Option<String>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let told = |error: hyper::Error| telemetry::chain(&error);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(error),
        },
    };
    let answer = answer.map_err(told)?;
    let location = answer.headers().get(http::header::LOCATION);
    let location = location.filter(|_| REDIRECTS.contains(&answer.status().as_u16()));
    Ok(location.map(|location| String::from_utf8_lossy(location.as_bytes()).into_owned()))
}

/// Why there is no encrypted connection.
enum Refused {
    /// The server answered in HTTP.
    SpeaksHttp,
    /// Anything else.
    Tls(String),
}

async fn secure(stream: TcpStream, host: &str) -> Result<impl AsyncRead + AsyncWrite + Unpin, Refused> {
    let told = |error: &dyn std::error::Error| Refused::Tls(telemetry::chain(error));
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host).map_err(|error| told(&error))?;
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| told(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    let stream = Heard { stream, head: Vec::with_capacity(HTTP.len()) };
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream).into_fallible();
    connecting.await.map_err(
        |(error, stream)| {
            if stream.head == HTTP { Refused::SpeaksHttp } else { told(&error) }
        },
    )
}

/// A connection that remembers the first bytes that came in.
struct Heard {
    stream: TcpStream,
    head: Vec<u8>,
}

impl AsyncRead for Heard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let missing = HTTP.len() - this.head.len();
        this.head.extend(buf.filled().iter().skip(before).take(missing));
        read
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Takes every certificate: pods sign their own.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_redirects_lead() {
        let hop = Hop { url: "http://10.0.0.1:8080/a/b?c=d".parse().unwrap(), own_host: true };
        for (location, url, own_host) in [
            ("/x?y", Some("http://10.0.0.1:8080/x?y"), true),
            ("x", Some("http://10.0.0.1:8080/a/x"), true),
            ("?y", Some("http://10.0.0.1:8080/a/b?y"), true),
            ("//10.0.0.2/x", Some("http://10.0.0.2/x"), false),
            ("https://10.0.0.1/x", Some("https://10.0.0.1/x"), false),
            ("http://", None, false),
            ("http:// /", None, false),
        ] {
            let next = hop.next(location);
            assert_eq!(next.as_ref().map(|next| next.url.to_string()).as_deref(), url, "{location}");
            assert_eq!(next.is_some_and(|next| next.own_host), own_host, "{location}");
        }
    }
}
