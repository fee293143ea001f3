//! Connections: TLS with the client's certificate, then HTTP/1.1 or HTTP/2.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::auth::User;
use crate::authority::Identity;
use crate::rest::Peer;

/// So many connections at once; others wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;
/// TLS has to be agreed on in this time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// An HTTP/1.1 connection without a whole request for this time is closed; longer than clients keep idle ones.
const IDLE: Duration = Duration::from_secs(120);
/// So many requests at once on one HTTP/2 connection: a node watches every Secret and ConfigMap of its pods by itself.
const MAX_STREAMS: u32 = 2048;
/// An idle HTTP/2 connection is asked for a sign of life after this time.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key cannot be read.
    #[error("cannot read the server's certificates")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The authority's certificate cannot be used to check clients.
    #[error("cannot check clients with the authority's certificate")]
    Clients(#[from] VerifierBuilderError),
    /// The rest.
    #[error("cannot set up TLS")]
    Setup(#[from] rustls::Error),
}

/// TLS for this server. A client may come without a certificate, but not with one that the authority did not sign.
pub(crate) fn acceptor(ca: &str, server: &Identity) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes())?)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()?;
    let chain = vec![CertificateDer::from_pem_slice(server.certificate.as_bytes())?];
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(server.key.as_bytes())?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves connections until `shutdown`; those that are open then are closed.
pub(crate) async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                connections.spawn(async move {
                    if let Err(error) = Box::pin(connection(stream, acceptor, router)).await {
                        debug!(error = &*error, "a connection to the API ended");
                    }
                    drop(place);
                });
            }
            // Out of files, say: those that are open will close.
            Err(error) => {
                debug!(error = &error as &dyn std::error::Error, "a connection to the API was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) -> Result<(), ConnectionError> {
    stream.set_nodelay(true)?;
    let tls = timeout(HANDSHAKE, acceptor.accept(stream)).await??;
    let peer = tls.get_ref().1.peer_certificates().and_then(<[_]>::first).map(user_of).transpose()?;
    let router = match peer {
        Some(user) => router.layer(Extension(Peer(user))),
        None => router,
    };
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .max_concurrent_streams(MAX_STREAMS);
    builder.serve_connection_with_upgrades(TokioIo::new(tls), TowerToHyperService::new(router)).await
}

/// Whom a checked certificate is for: its common name, and its organizations as groups.
fn user_of(certificate: &CertificateDer<'_>) -> Result<User, ConnectionError> {
    let (_, parsed) = X509Certificate::from_der(certificate)?;
    let subject = parsed.subject();
    let mut names = subject.iter_common_name().filter_map(|name| name.as_str().ok());
    let name = names.next().ok_or("the client's certificate has no common name")?.to_owned();
    let groups =
        subject.iter_organization().filter_map(|group| group.as_str().ok().map(str::to_owned)).collect();
    Ok(User::of_certificate(name, groups))
}
