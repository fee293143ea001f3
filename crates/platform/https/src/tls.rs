//! TLS as it is served: the certificate, and the question for that of the client.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio_rustls::TlsAcceptor;

use crate::reloaded::Reloaded;
use crate::{Authorities, Pem, TlsError, TlsPolicy};

/// TLS with one certificate, which is read again when its files have changed.
#[derive(Debug)]
pub struct Tls {
    policy: TlsPolicy,
    certificate: Arc<Certificate>,
    clients: Option<Arc<Authorities>>,
    /// The set-up for the authorities of that generation.
    config: Mutex<(u64, Arc<ServerConfig>)>,
}

impl Tls {
    /// TLS with the certificate chain of `certificate` and its `key`. With `clients`, their certificates are asked for;
    /// they are checked by [`Connection::client`](crate::Connection::client).
    ///
    /// # Errors
    /// If the files cannot be used.
    pub fn new(
        policy: TlsPolicy,
        certificate: Pem,
        key: Pem,
        clients: Option<Arc<Authorities>>,
    ) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::clone(&policy.provider);
        let sources = [certificate.clone(), key.clone()];
        let pair = Reloaded::new("the certificate of this server", &[&sources[0], &sources[1]], move || {
            let chain = certificate.certificates()?;
            CertifiedKey::from_der(chain, key.key()?, &provider).map_err(|source| TlsError::Pair {
                certificate: certificate.origin(),
                key: key.origin(),
                source,
            })
        })?;
        let certificate = Arc::new(Certificate(pair));
        let (generation, asked) = clients.as_ref().map(|clients| clients.current()).unzip();
        let config = config(&policy, Arc::clone(&certificate), asked)?;
        let config = Mutex::new((generation.unwrap_or_default(), config));
        Ok(Arc::new(Self { policy, certificate, clients, config }))
    }

    /// How the next connection is accepted.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((generation, asked)) = self.clients.as_ref().map(|clients| clients.current())
            && generation != config.0
            // Versions and suites were good before.
            && let Ok(renewed) = self::config(&self.policy, Arc::clone(&self.certificate), Some(asked))
        {
            *config = (generation, renewed);
        }
        TlsAcceptor::from(Arc::clone(&config.1))
    }
}

fn config(
    policy: &TlsPolicy,
    certificate: Arc<Certificate>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(&policy.provider))
        .with_protocol_versions(policy.versions)
        .map_err(TlsError::Policy)?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::new(AskedFor(clients))),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificate of the server.
struct Certificate(Reloaded<CertifiedKey>);

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current().1)
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

/// Lets in whoever has the key of the certificate that they show, whoever signed it: that is looked at with each request,
/// where a bad certificate is no more than none.
#[derive(Debug)]
struct AskedFor(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for AskedFor {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
