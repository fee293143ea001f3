//! The httpGet hook. Like probes it trusts no certificate and distrusts none: it talks to the pod itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
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

/// What an answer in clear text begins with.
const HTTP: &[u8; 5] = b"HTTP/";

/// Makes the request. Any answer is a success, whatever its status: that is the contract of lifecycle hooks, unlike
/// that of probes. The body is not read. A server that answers a TLS handshake in HTTP is asked again in clear text.
pub(super) async fn get(get: &HTTPGetAction, context: &HookContext<'_>) -> Result<(), HookError> {
    let address = aim(get.host.as_deref(), &get.port, context)?;
    let path = get.path.as_deref().unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let https = get.scheme.as_deref() == Some("HTTPS");
    let failed = |problem: String| HookError::Http {
        url: format!("{}://{address}{path}", if https { "https" } else { "http" }),
        problem,
    };
    let connect = async || TcpStream::connect(&*address).await.map_err(|error| failed(error.to_string()));
    let request = |authorized| request(get, &address, &path, authorized).map_err(|e| failed(e.to_string()));
    if !https {
        return exchange(connect().await?, request(true)?).await.map_err(failed);
    }
    match secure(connect().await?, &address).await {
        Ok(stream) => exchange(stream, request(true)?).await.map_err(failed),
        Err(Refused::Tls(problem)) => Err(failed(problem)),
        Err(Refused::SpeaksHttp) => {
            // What was meant for an encrypted connection is not sent over another one.
            exchange(connect().await?, request(false)?).await.map_err(failed)?;
            context.metrics.http_fallbacks.inc(&[]);
            context.recorder.record(Event::warning(
                context.pod,
                types::reason::event::LIFECYCLE_HTTP_FALLBACK,
                format!(
                    "request to HTTPS lifecycle hook {address} got HTTP response, retry with HTTP succeeded"
                ),
            ));
            Ok(())
        }
    }
}

fn request(
    get: &HTTPGetAction,
    address: &str,
    path: &str,
    authorized: bool,
) -> Result<http::Request<Empty<Bytes>>, http::Error> {
    use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, USER_AGENT as AGENT};
    let mut request = http::Request::get(path);
    let given = get.http_headers.as_deref().unwrap_or_default();
    let has = |name: &http::HeaderName| given.iter().any(|h| h.name.eq_ignore_ascii_case(name.as_str()));
    for (name, value) in [(HOST, address), (AGENT, USER_AGENT), (ACCEPT, "*/*"), (CONNECTION, "close")] {
        if !has(&name) {
            request = request.header(name, value);
        }
    }
    for header in given {
        if authorized || !header.name.eq_ignore_ascii_case(AUTHORIZATION.as_str()) {
            request = request.header(&header.name, &header.value);
        }
    }
    request.body(Empty::new())
}

/// Sends `request` and waits for the head of the answer.
async fn exchange<S>(stream: S, request: http::Request<Empty<Bytes>>) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let told = |error: hyper::Error| telemetry::chain(&error);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer.map(drop),
        ended = &mut connection => match ended {
            Ok(()) => answer.await.map(drop),
            Err(error) => Err(error),
        },
    }
    .map_err(told)
}

/// Why there is no encrypted connection.
enum Refused {
    /// The server answered in HTTP.
    SpeaksHttp,
    /// Anything else.
    Tls(String),
}

async fn secure(stream: TcpStream, address: &str) -> Result<impl AsyncRead + AsyncWrite + Unpin, Refused> {
    let told = |error: &dyn std::error::Error| Refused::Tls(telemetry::chain(error));
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
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
