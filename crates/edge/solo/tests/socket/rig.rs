//! A server, and clients of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use solo::{Settings, Solo, SoloError};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// A server that runs.
pub(crate) struct Running {
    /// The certificate for the API of the node `n1`, and its key.
    pub(crate) node: (PathBuf, PathBuf),
    pub(crate) address: std::net::SocketAddr,
    pub(crate) stop: CancellationToken,
    task: JoinHandle<Result<(), SoloError>>,
}

/// Settings of a server whose files are in `dir`.
pub(crate) fn settings(dir: &Path) -> Settings {
    Settings::new(dir.to_owned(), "127.0.0.1:0".parse().unwrap(), "n1".to_owned())
}

pub(crate) async fn start(dir: &Path) -> Running {
    start_with(&settings(dir)).await
}

pub(crate) async fn start_with(settings: &Settings) -> Running {
    let solo = Solo::open(settings).await.unwrap();
    let (address, stop) = (solo.address(), CancellationToken::new());
    let node = solo.node_server(&[]).unwrap();
    Running { node, address, task: tokio::spawn(solo.serve(stop.clone())), stop }
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// A client with the certificate `identity` of the directory, or without one.
pub(crate) fn client(dir: &Path, identity: Option<&str>) -> TlsConnector {
    let pki = dir.join("pki");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pki.join("ca.crt")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        Some(name) => {
            let certificate = CertificateDer::from_pem_file(pki.join(format!("{name}.crt"))).unwrap();
            let key = PrivateKeyDer::from_pem_file(pki.join(format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    TlsConnector::from(Arc::new(config))
}

pub(crate) async fn ask(
    running: &Running,
    client: &TlsConnector,
    method: &str,
    path: &str,
    body: &Value,
) -> std::io::Result<(u16, Bytes)> {
    let stream = TcpStream::connect(running.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    let tls = client.connect(name, stream).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .body(Full::new(body))
        .unwrap();
    let response = sender.send_request(request).await.map_err(std::io::Error::other)?;
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.map_err(std::io::Error::other)?;
    Ok((code, body.to_bytes()))
}
