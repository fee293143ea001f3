//! Requests to nodes, over a connection each.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tracing::debug;

use super::any::AnyCertificate;
use super::place::Place;
use crate::authority::Identity;

/// A node has so long to take a connection.
const CONNECTING: Duration = Duration::from_secs(30);

/// Why nodes cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The certificate or its key cannot be read.
    #[error("the certificate by which nodes know this server cannot be read")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// They cannot be used.
    #[error("the certificate by which nodes know this server cannot be used")]
    Tls(#[from] rustls::Error),
}

/// Asks nodes in the name of this server.
pub(crate) struct NodeClient {
    tls: TlsConnector,
}

impl fmt::Debug for NodeClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeClient")
    }
}

impl NodeClient {
    /// One that shows `identity`.
    pub(crate) fn new(identity: &Identity) -> Result<Self, NodeError> {
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_client_auth_cert(vec![certificate], key)?;
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Sends `request`, whose URI is a path, and gives the answer; on failure what happened, for people.
    pub(crate) async fn ask(
        &self,
        place: &Place,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, String> {
        let Place { host, port } = place;
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let failed =
            |error: &dyn fmt::Display| format!("error dialing backend: dial tcp {authority}: {error}");
        let connecting = async {
            let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|e| failed(&e))?;
            let _ = stream.set_nodelay(true);
            let name = ServerName::try_from(host.clone()).map_err(|e| failed(&e))?;
            let stream = self.tls.connect(name, stream).await.map_err(|e| failed(&e))?;
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))
        };
        let late = |_| Err(failed(&"i/o timeout"));
        let (mut sender, connection) = timeout(CONNECTING, connecting).await.unwrap_or_else(late)?;
        // It ends with the answer, with whoever reads it, or is handed over to the upgrade.
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                debug!(error = &error as &dyn std::error::Error, "A connection to a node broke");
            }
        });
        let host = HeaderValue::from_str(&authority).map_err(|error| failed(&error))?;
        request.headers_mut().insert(header::HOST, host);
        sender.send_request(request).await.map_err(|error| failed(&error))
    }
}
