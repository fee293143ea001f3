//! What berth trusts and shows when it connects.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use task::stamp::Stamp;

use super::insecure::AnyCertificate;
use crate::credentials::Identity;
use crate::kubeconfig::{Cluster, KubeconfigError, Pem, User};

/// The certificates and keys of a kubeconfig.
pub(super) struct Material {
    authority: Option<Pem>,
    certificate: Option<(Pem, Pem)>,
    insecure: bool,
}

/// A TLS set-up that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key is missing.
    #[error("certificates of the API server's client")]
    Kubeconfig(#[from] KubeconfigError),
    /// The machine has no certificates of authorities, and the kubeconfig names none.
    #[error("the kubeconfig has no certificate-authority, and this machine has no trusted certificates")]
    NoRoots,
    /// The credential plugin's certificate or key is none.
    #[error("the credential plugin's certificate")]
    Plugin(#[source] rustls::pki_types::pem::Error),
    /// Certificate and key do not fit, or are of a kind that is not supported.
    #[error("TLS")]
    Tls(#[from] rustls::Error),
}

/// What was read from the files of a [`Material`] at one time.
#[derive(PartialEq, Eq)]
pub(super) struct Loaded {
    authority: Option<Arc<[u8]>>,
    certificate: Option<Identity>,
}

impl Material {
    pub(super) fn new(cluster: &mut Cluster, user: &mut User) -> Self {
        Self {
            authority: cluster.authority.take(),
            certificate: user.certificate.take(),
            insecure: cluster.insecure,
        }
    }

    /// Stamps of its files as they are now.
    pub(super) fn stamps(&self) -> Vec<Option<Stamp>> {
        let pems = self.authority.iter();
        let pems = pems.chain(self.certificate.iter().flat_map(|(certificate, key)| [certificate, key]));
        pems.filter_map(Pem::file).map(Stamp::of).collect()
    }

    /// Reads its files.
    pub(super) fn load(&self) -> Result<Loaded, TlsError> {
        let authority = self.authority.as_ref().map(Pem::read).transpose()?;
        let certificate = match &self.certificate {
            None => None,
            Some((certificate, key)) => Some(Identity { certificate: certificate.read()?, key: key.read()? }),
        };
        Ok(Loaded { authority, certificate })
    }

    /// The configuration of connections, with `identity` in place of the certificate if there is one.
    pub(super) fn config(
        &self,
        loaded: &Loaded,
        identity: Option<&Identity>,
    ) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = if self.insecure {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        } else {
            builder.with_root_certificates(self.roots(loaded)?)
        };
        let mut config = match (identity, &loaded.certificate, &self.certificate) {
            (Some(identity), ..) => {
                let chain = certificates(&identity.certificate).map_err(TlsError::Plugin)?;
                let key = PrivateKeyDer::from_pem_slice(&identity.key).map_err(TlsError::Plugin)?;
                builder.with_client_auth_cert(chain, key)?
            }
            (None, Some(Identity { certificate, key }), Some(from)) => {
                let chain = certificates(certificate).map_err(|error| from.0.refuse(&error))?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| from.1.refuse(&error))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| from.1.refuse(&error))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    fn roots(&self, loaded: &Loaded) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        match (&loaded.authority, &self.authority) {
            (Some(pem), Some(from)) => {
                for certificate in certificates(pem).map_err(|error| from.refuse(&error))? {
                    roots.add(certificate).map_err(|error| from.refuse(&error))?;
                }
            }
            _ => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                if roots.is_empty() {
                    return Err(TlsError::NoRoots);
                }
            }
        }
        Ok(roots)
    }
}

impl Pem {
    fn refuse(&self, error: &dyn std::error::Error) -> KubeconfigError {
        let why = telemetry::chain(error);
        match self.file() {
            Some(path) => self.place.file(path, std::io::Error::new(std::io::ErrorKind::InvalidData, why)),
            None => self.place.error(format!("cannot be used: {why}")),
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    if all.is_empty() { Err(rustls::pki_types::pem::Error::NoItemsFound) } else { Ok(all) }
}
