//! Listening: TLS whose certificates are read again when they change, HTTP/1.1 and HTTP/2, and bounds on what a client may
//! take of either. For the node's API (`server`) and for `solo`.
//!
//! Decides: what Go's names of versions, cipher suites and curves mean here ([`TlsPolicy`]), when a file of certificates is
//! read again ([`Tls`], [`Authorities`]), whom a client's certificate is for ([`Connection::client`]), how long a client
//! may take for what ([`Limits`]), when a connection that was passed on is over ([`pump`]).
//!
//! Tasks: [`serve`] accepts, and has a task for each connection; both wake on the client, on time-outs and on the order to
//! stop. Files are looked at with a connection or a request, at most once a second, so that no timer is needed.
//!
//! Does not: know users, or what anybody may do. A client's certificate is asked for and never demanded, as in Kubernetes:
//! whoever has a bad one, or none, may have a token.

mod activity;
mod authorities;
mod bind;
mod connection;
mod error;
mod held;
mod pem;
mod policy;
mod pump;
mod reloaded;
mod selfsigned;
mod serve;
mod tls;
mod upgrade;

pub use authorities::Authorities;
pub use bind::{bind, keep_alive};
pub use connection::{Client, Connection, ForeignCertificate};
pub use error::TlsError;
pub use held::held;
pub use pem::Pem;
pub use policy::{PolicyError, TlsPolicy};
pub use pump::{CLOSING, Said, pump};
pub use selfsigned::{SelfSignedError, self_signed};
pub use serve::{Limits, serve};
pub use tls::Tls;
pub use upgrade::{until_stopped, wants_upgrade};
