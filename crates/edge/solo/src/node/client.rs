//! Requests to nodes, over a connection each.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use axum::body::Body;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::VerifierBuilderError;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, Error as TlsError};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tracing::debug;

use super::certificate::NodeCertificate;
use super::place::Place;
use crate::authority::Identity;

/// A node has so long to take a connection.
const CONNECTING: Duration = Duration::from_secs(30);

/// What is to be done about a node with a certificate of its own.
const FOREIGN: &str = "; the node's API has to be served with a certificate of this server's authority for the node's name: set \
    tlsCertFile and tlsPrivateKeyFile to the node's files in the directory `pki` of this server";

/// Why nodes cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The certificate by which nodes know this server, its key or the authority cannot be read.
    #[error("a certificate of this server, its key or its authority cannot be read")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// They cannot be used.
    #[error("the certificate by which nodes know this server cannot be used")]
    Tls(#[from] rustls::Error),
    /// The authority for the certificates of nodes cannot be used.
    #[error("this server's authority cannot vouch for nodes")]
    Authority(#[from] VerifierBuilderError),
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
    /// One that shows `identity`, and takes nodes that show certificates of the authority `ca` (PEM) for their names, or the
    /// one in the file `given`.
    pub(crate) fn new(identity: &Identity, ca: &str, given: Option<PathBuf>) -> Result<Self, NodeError> {
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes())?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(NodeCertificate::new(ca, given, provider)?)
            .with_client_auth_cert(vec![certificate], key)?;
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Sends `request`, whose URI is a path, and gives the answer; on failure what happened, for people.
    pub(crate) async fn ask(
        &self,
        place: &Place,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, String> {
        let Place { node, host, port } = place;
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let failed =
            |error: &dyn fmt::Display| format!("error dialing backend: dial tcp {authority}: {error}");
        let connecting = async {
            let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|e| failed(&e))?;
            // So a node that is gone without a word is noticed. One that is there ends what is silent for too long itself.
            https::keep_alive(&stream).map_err(|e| failed(&e))?;
            let name = ServerName::try_from(node.clone()).map_err(|e| failed(&e))?;
            let stream = self.tls.connect(name, stream).await;
            let stream = stream.map_err(|error| {
                let advice = if is_foreign(&error) { FOREIGN } else { "" };
                failed(&format_args!("{error}{advice}"))
            })?;
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

/// Whether TLS failed because of the node's certificate.
fn is_foreign(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(TlsError::InvalidCertificate(_)))
}
