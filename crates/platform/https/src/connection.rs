//! A client's connection, as its requests see it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::{CertificateDer, UnixTime};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::Authorities;

/// The connection that a request came over; an extension of the request. Whoever goes on using it after the request was
/// answered, as an upgrade does, holds a clone: it counts as a connection for so long.
#[derive(Clone, Debug)]
pub struct Connection {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    peer: SocketAddr,
    certificates: Vec<CertificateDer<'static>>,
    /// What the authorities of a generation say of the certificates.
    checked: Mutex<Option<(u64, Client)>>,
    stopping: CancellationToken,
    _place: OwnedSemaphorePermit,
}

/// Whom a client's certificate is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Client {
    /// The common name; empty if there is none.
    pub name: String,
    /// The organizations, which are the user's groups (Kubernetes: "X509 client certificates").
    pub groups: Vec<String>,
    /// When the certificate ends, in seconds since 1970.
    pub not_after: i64,
}

/// A client's certificate that no authority stands for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the client's certificate{} is not good: {why}", for_whom(.name))]
pub struct ForeignCertificate {
    /// The name that it claims.
    name: String,
    /// What is wrong with it.
    why: String,
}

fn for_whom(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" for {name:?}") }
}

impl Connection {
    pub(crate) fn new(
        peer: SocketAddr,
        certificates: Vec<CertificateDer<'static>>,
        stopping: CancellationToken,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let checked = Mutex::new(None);
        Self { shared: Arc::new(Shared { peer, certificates, checked, stopping, _place: place }) }
    }

    /// Where the client is.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.shared.peer
    }

    /// Returns when the server ends: whatever goes on over the connection is to be given up.
    pub fn stopping(&self) -> WaitForCancellationFuture<'_> {
        self.shared.stopping.cancelled()
    }

    /// Whom the client's certificate is for; `None` if it showed none. It is looked at for each request, since it may end,
    /// and authorities may change, while the connection lasts.
    ///
    /// # Errors
    /// If none of `authorities` signed it, if it is not yet or no longer good, or if it is not for clients.
    pub fn client(&self, authorities: &Authorities) -> Result<Option<Client>, ForeignCertificate> {
        let Some((own, between)) = self.shared.certificates.split_first() else { return Ok(None) };
        let (generation, verifier) = authorities.current();
        let now = UnixTime::now();
        let mut checked = self.shared.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, client)) = &*checked
            && *of == generation
            && client.not_after > i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
        {
            return Ok(Some(client.clone()));
        }
        let client = Client::of(own);
        let foreign = |why: String| {
            let name = client.as_ref().map(|client| client.name.clone()).unwrap_or_default();
            ForeignCertificate { name, why }
        };
        verifier.verify_client_cert(own, between, now).map_err(|error| foreign(error.to_string()))?;
        let client = client.clone().ok_or_else(|| foreign("it cannot be read".to_owned()))?;
        *checked = Some((generation, client.clone()));
        Ok(Some(client))
    }
}

impl Client {
    fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let subject = parsed.subject();
        let text =
            |entry: &x509_parser::x509::AttributeTypeAndValue<'_>| entry.as_str().ok().map(str::to_owned);
        Some(Self {
            // Go takes the last one, if there are several.
            name: subject.iter_common_name().last().and_then(text).unwrap_or_default(),
            groups: subject.iter_organization().filter_map(text).collect(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }
}
