//! A real API server behind the test's own: where `KUBEBUILDER_ASSETS` names a directory with `kube-apiserver` and `etcd`,
//! every request that `solo` gets is passed on to those. So the same tests run against both.
//!
//! There is no controller and no scheduler: pods are created with their node, and without a service account.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING};
use http::{StatusCode, Uri};
use hyper_util::rt::TokioIo;
use kubeapi::Kubeconfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use testkit::apiserver::{ApiServer, Kind};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;

/// How long the server may take until it answers.
const STARTUP: Duration = Duration::from_secs(120);

/// The server, and the ways to it.
pub(crate) struct RealServer {
    _server: ApiServer,
    address: String,
    admin: TlsConnector,
    node: TlsConnector,
}

impl RealServer {
    /// Starts them, with their files in a directory of `dir`. `None` if there are none to start.
    pub(crate) async fn start(dir: &Path) -> Option<Self> {
        let kind = Kind::of_environment()?;
        let dir = dir.join("real");
        let server = ApiServer::start(&kind, &dir, "node").await.unwrap();
        let kubeconfig = Kubeconfig::read(&server.admin_kubeconfig()).unwrap();
        let address = kubeconfig.server().trim_start_matches("https://").trim_end_matches('/').to_owned();
        let this =
            Self { _server: server, address, admin: connector(&dir, "admin"), node: connector(&dir, "node") };
        this.until_ready().await;
        Some(this)
    }

    async fn until_ready(&self) {
        let give_up = Instant::now() + STARTUP;
        for path in ["/readyz", "/api/v1/namespaces/default"] {
            loop {
                let request = Request::get(path).body(Body::empty()).unwrap();
                if self.forward(request, true).await.status().is_success() {
                    break;
                }
                assert!(Instant::now() < give_up, "the real API server does not become ready");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Has the real server answer, to an administrator or to the node.
    pub(crate) async fn forward(&self, request: Request, admin: bool) -> Response {
        match self.answer(request, admin).await {
            Ok(response) => response,
            Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        }
    }

    async fn answer(&self, request: Request, admin: bool) -> Result<Response, Box<dyn std::error::Error>> {
        let stream = TcpStream::connect(&self.address).await?;
        let connector = if admin { &self.admin } else { &self.node };
        let tls = connector.connect(ServerName::try_from("127.0.0.1")?, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        tokio::spawn(connection);
        let (mut parts, body) = request.into_parts();
        parts.version = http::Version::HTTP_11;
        parts.uri = parts.uri.path_and_query().map_or("/", |path| path.as_str()).parse::<Uri>()?;
        parts.headers.remove(AUTHORIZATION);
        parts.headers.insert(HOST, HeaderValue::from_static("localhost"));
        let (mut parts, body) = sender.send_request(Request::from_parts(parts, body)).await?.into_parts();
        parts.headers.remove(CONNECTION);
        parts.headers.remove(TRANSFER_ENCODING);
        parts.version = http::Version::default();
        Ok(Response::from_parts(parts, Body::new(body)))
    }
}

/// A client that the real server knows by that name.
fn connector(dir: &Path, name: &str) -> TlsConnector {
    let file = |suffix: &str| dir.join(format!("{name}.{suffix}"));
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("ca.crt")).unwrap()).unwrap();
    let certificate = CertificateDer::from_pem_file(file("crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    TlsConnector::from(Arc::new(config))
}
