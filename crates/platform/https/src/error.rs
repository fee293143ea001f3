//! Why TLS cannot be had.

use std::io;
use std::path::PathBuf;

use rustls::pki_types::pem;
use rustls::server::VerifierBuilderError;

/// A certificate, a key or an authority that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no certificate or key in it, or one that is damaged.
    #[error("{origin} holds no {what} in PEM that can be used")]
    Content {
        /// The file, or what stands for one.
        origin: String,
        /// `certificate` or `key`.
        what: &'static str,
        /// Why.
        source: pem::Error,
    },
    /// Certificate and key are not a pair, or of a kind that is not supported.
    #[error("the certificate of {certificate} and the key of {key} cannot be used together")]
    Pair {
        /// Where the certificate is.
        certificate: String,
        /// Where the key is.
        key: String,
        /// Why.
        source: rustls::Error,
    },
    /// An authority's certificate cannot be used.
    #[error("a certificate of {origin} cannot be an authority's")]
    Root {
        /// Where it is.
        origin: String,
        /// Why.
        source: rustls::Error,
    },
    /// Clients cannot be checked with the authorities.
    #[error("clients cannot be checked with the authorities of {origin}")]
    Clients {
        /// Where they are.
        origin: String,
        /// Why.
        source: VerifierBuilderError,
    },
    /// Versions and cipher suites do not go together.
    #[error("TLS cannot be served with these versions, cipher suites and curves")]
    Policy(#[source] rustls::Error),
}
