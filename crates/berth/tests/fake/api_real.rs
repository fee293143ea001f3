//! A real API server behind the test's own: where `KUBEBUILDER_ASSETS` names a directory with `kube-apiserver` and `etcd`,
//! every request that `solo` gets is passed on to those. So the same tests run against both.
//!
//! There is no controller and no scheduler: pods are created with their node, and without a service account.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;

/// How long the server may take until it answers.
const STARTUP: Duration = Duration::from_secs(120);

/// `etcd`, `kube-apiserver`, and the way to it.
pub(crate) struct RealServer {
    processes: [Child; 2],
    port: u16,
    connector: TlsConnector,
}

impl RealServer {
    /// Starts them, with their files in `dir`, where `solo` has made certificates. `None` if there are none to start.
    pub(crate) async fn start(dir: &Path) -> Option<Self> {
        let assets = PathBuf::from(std::env::var_os("KUBEBUILDER_ASSETS")?);
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(dir.join("real.crt"), made.cert.pem()).unwrap();
        std::fs::write(dir.join("real.key"), made.signing_key.serialize_pem()).unwrap();
        let [clients, peers, port] = free_ports();
        let at = |name: &str| dir.join(name).display().to_string();
        let start = |program: &str, flags: &[String]| {
            let log = File::create(dir.join(format!("{program}.log"))).unwrap();
            let mut command = Command::new(assets.join(program));
            command.args(flags).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            command.spawn().unwrap()
        };
        let etcd = start(
            "etcd",
            &[
                format!("--data-dir={}", at("etcd")),
                format!("--listen-client-urls=http://127.0.0.1:{clients}"),
                format!("--advertise-client-urls=http://127.0.0.1:{clients}"),
                format!("--listen-peer-urls=http://127.0.0.1:{peers}"),
                "--unsafe-no-fsync".to_owned(),
            ],
        );
        let server = start(
            "kube-apiserver",
            &[
                format!("--etcd-servers=http://127.0.0.1:{clients}"),
                format!("--secure-port={port}"),
                "--bind-address=127.0.0.1".to_owned(),
                format!("--tls-cert-file={}", at("real.crt")),
                format!("--tls-private-key-file={}", at("real.key")),
                format!("--cert-dir={}", at("real")),
                // The test's own server says who asks.
                format!("--requestheader-client-ca-file={}", at("pki/ca.crt")),
                "--requestheader-username-headers=X-Remote-User".to_owned(),
                "--requestheader-group-headers=X-Remote-Group".to_owned(),
                "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
                "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                format!("--service-account-key-file={}", at("real.crt")),
                format!("--service-account-signing-key-file={}", at("real.key")),
                "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
                "--authorization-mode=Node,RBAC".to_owned(),
                "--enable-admission-plugins=NodeRestriction".to_owned(),
                "--disable-admission-plugins=ServiceAccount".to_owned(),
            ],
        );
        let this = Self { processes: [etcd, server], port, connector: connector(dir) };
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
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let tls = self.connector.connect(ServerName::try_from("localhost")?, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        tokio::spawn(connection);
        let (mut parts, body) = request.into_parts();
        parts.version = http::Version::HTTP_11;
        parts.uri = parts.uri.path_and_query().map_or("/", |path| path.as_str()).parse::<Uri>()?;
        let (user, group) =
            if admin { ("admin", "system:masters") } else { ("system:node:node", "system:nodes") };
        parts.headers.remove(AUTHORIZATION);
        parts.headers.insert(HOST, HeaderValue::from_static("localhost"));
        parts.headers.insert(HeaderName::from_static("x-remote-user"), HeaderValue::from_static(user));
        parts.headers.insert(HeaderName::from_static("x-remote-group"), HeaderValue::from_static(group));
        let (mut parts, body) = sender.send_request(Request::from_parts(parts, body)).await?.into_parts();
        parts.headers.remove(CONNECTION);
        parts.headers.remove(TRANSFER_ENCODING);
        parts.version = http::Version::default();
        Ok(Response::from_parts(parts, Body::new(body)))
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let bound = [(); N].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    bound.map(|listener| listener.local_addr().unwrap().port())
}

/// A client that the real server trusts to say who asks.
fn connector(dir: &Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("real.crt")).unwrap()).unwrap();
    let certificate = CertificateDer::from_pem_file(dir.join("pki/admin.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.join("pki/admin.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    TlsConnector::from(Arc::new(config))
}
