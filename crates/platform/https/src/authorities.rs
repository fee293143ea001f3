//! The authorities whose clients' certificates are good.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use crate::reloaded::Reloaded;
use crate::{Pem, TlsError};

/// Authorities of clients (`clientCAFile`), read again when their file has changed.
pub struct Authorities {
    verifier: Reloaded<Arc<dyn ClientCertVerifier>>,
}

impl Authorities {
    /// The authorities whose certificates are in `pem`.
    ///
    /// # Errors
    /// If there is none, or one that cannot be used.
    pub fn new(pem: Pem) -> Result<Arc<Self>, TlsError> {
        let source = pem.clone();
        let verifier = Reloaded::new("the authorities of clients", &[&source], move || verifier(&pem))?;
        Ok(Arc::new(Self { verifier }))
    }

    /// Who checks certificates now, and a number that changes with them.
    pub(crate) fn current(&self) -> (u64, Arc<dyn ClientCertVerifier>) {
        let (generation, verifier) = self.verifier.current();
        (generation, Arc::clone(&verifier))
    }
}

fn verifier(pem: &Pem) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in pem.certificates()? {
        roots.add(certificate).map_err(|source| TlsError::Root { origin: pem.origin(), source })?;
    }
    let provider = Arc::new(ring::default_provider());
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let built = builder.allow_unauthenticated().build();
    built.map_err(|source| TlsError::Clients { origin: pem.origin(), source })
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorities").finish_non_exhaustive()
    }
}
