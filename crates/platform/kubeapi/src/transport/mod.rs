//! Connections to the API server.
//!
//! They are made again when the certificate changes, as a server knows who asks by the connection; and a watch has one
//! with few others, as a server bounds how many requests one connection carries, and a watch takes its place for
//! minutes.

mod closable;
mod connect;
mod connections;
mod insecure;
mod lane;
mod open;
mod tls;

pub(crate) use connections::Connections;
pub(crate) use lane::ResponseBody;
pub use tls::TlsError;
