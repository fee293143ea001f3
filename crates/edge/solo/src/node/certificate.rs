//! The certificates of nodes.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::NodeError;

/// Takes what the authority vouches for, and the one certificate that it is told of: that of an operator who has the
/// node's API served with one of their own.
#[derive(Debug)]
pub(super) struct NodeCertificate {
    authority: Arc<WebPkiServerVerifier>,
    given: Option<PathBuf>,
}

impl NodeCertificate {
    /// With the authority `ca` (PEM), and the file of the other certificate.
    pub(super) fn new(
        ca: &str,
        given: Option<PathBuf>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<Self>, NodeError> {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(ca.as_bytes())?;
        roots.add(ca).map_err(NodeError::Tls)?;
        let authority = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Arc::new(Self { authority, given }))
    }

    /// Whether it is the certificate in the file. The file is read each time, since it is renewed at times.
    fn is_given(&self, certificate: &CertificateDer<'_>) -> bool {
        let given = self.given.as_ref().and_then(|path| CertificateDer::from_pem_file(path).ok());
        given.is_some_and(|given| given == *certificate)
    }
}

impl ServerCertVerifier for NodeCertificate {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified =
            self.authority.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.or_else(|error| {
            if self.is_given(end_entity) { Ok(ServerCertVerified::assertion()) } else { Err(error) }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authority.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authority.supported_verify_schemes()
    }
}
