//! Certificates: of the server, of the client, and of a client whose certificate is renewed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use axum::serve::Listener;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kubeapi::{ApiErrorKind, Change, Client, Limits, Selection, Watch};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::server::{Answer, Asked, Server, failure, lines, list, replace, within};

struct Authority(CertifiedIssuer<'static, KeyPair>);

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        Self(CertifiedIssuer::self_signed(params, key()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    /// Certificate and key in one text, as `kubelet-client-current.pem` has them.
    fn issue(&self, name: &str) -> String {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = key();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        format!("{}{}", certificate.pem(), key.serialize_pem())
    }
}

/// Takes connections with TLS.
struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
    accepted: Arc<AtomicUsize>,
}

impl TlsListener {
    /// Offers this protocol in place of HTTP/1.1.
    fn speaking(mut self, protocol: &str) -> Self {
        let mut config = rustls::ServerConfig::clone(self.acceptor.config());
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        self.acceptor = TlsAcceptor::from(Arc::new(config));
        self
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.tcp.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                self.accepted.fetch_add(1, SeqCst);
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// A listener for `name` that wants certificates of `clients`.
async fn listen(authority: &Authority, name: &str, clients: Option<&Authority>) -> TlsListener {
    let pem = authority.issue(name);
    let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).unwrap();
    let provider = Arc::new(default_provider());
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(clients.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let mut config = config.with_single_cert(chain, key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    TlsListener { tcp, acceptor: TlsAcceptor::from(Arc::new(config)), accepted: Arc::default() }
}

fn cluster(folder: &Path, server: &Server, rest: &str) -> String {
    let authority = folder.join("ca.crt");
    format!(
        "{{server: 'https://{}', certificate-authority: '{}'{rest}}}",
        server.address,
        authority.display()
    )
}

async fn answer(client: &Client) -> Result<(), kubeapi::ApiError> {
    within(client.get::<Node>(None, "a")).await.map(drop)
}

#[tokio::test]
async fn the_server_must_be_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    std::fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
    let ok = |_| Answer::Json(200, json!({"metadata": {}}));

    let server = Server::serve(listen(&authority, "127.0.0.1", None).await, ok);
    answer(&server.client_of(&cluster(folder.path(), &server, ""), "{}")).await.unwrap();

    let server = Server::serve(listen(&authority, "api.local", None).await, ok);
    let error = answer(&server.client_of(&cluster(folder.path(), &server, ""), "{}")).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unreachable);
    assert!(error.message.contains("certificate not valid for name"), "{error}");
    let named = cluster(folder.path(), &server, ", tls-server-name: api.local");
    answer(&server.client_of(&named, "{}")).await.unwrap();

    let server = Server::serve(listen(&Authority::new(), "127.0.0.1", None).await, ok);
    let error = answer(&server.client_of(&cluster(folder.path(), &server, ""), "{}")).await.unwrap_err();
    assert!(error.message.contains("invalid peer certificate"), "{error}");
    let insecure = format!("{{server: 'https://{}', insecure-skip-tls-verify: true}}", server.address);
    answer(&server.client_of(&insecure, "{}")).await.unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_and_old_connections_end() {
    let folder = tempfile::tempdir().unwrap();
    let (servers, old, new) = (Authority::new(), Authority::new(), Authority::new());
    std::fs::write(folder.path().join("ca.crt"), servers.pem()).unwrap();
    let current = folder.path().join("kubelet-client-current.pem");
    std::fs::write(&current, old.issue("system:node:a")).unwrap();
    let user = format!("{{client-certificate: '{0}', client-key: '{0}'}}", current.display());

    // A watch that would go on for ever over the old connection.
    let (quiet, watching) = lines();
    let watching = std::sync::Mutex::new(Some(watching));
    let server = Server::serve(listen(&servers, "127.0.0.1", Some(&old)).await, move |asked| {
        if asked.path.ends_with("/nodes/a") {
            return Answer::Json(200, json!({"metadata": {}}));
        }
        if !asked.is_watch() {
            return list("1", &[]);
        }
        match watching.lock().unwrap().take() {
            Some(watching) => watching,
            None => failure(410, "Expired", "too old"),
        }
    });
    let client = server.client_of(&cluster(folder.path(), &server, ""), &user);
    let mut watch = Watch::<ConfigMap>::start(&client, Selection::default());
    assert_eq!(within(watch.next()).await, Some(Change::Listed(vec![])));
    server.wait(|asked| asked.iter().any(Asked::is_watch)).await;

    // Half a file changes nothing.
    replace(&current, "-----BEGIN CERTIFICATE-----\n");
    client.reload_certificates();
    answer(&client).await.unwrap();
    assert!(!quiet.is_closed());

    // The new one is of an authority that this server does not know: whoever gets through has not followed.
    replace(&current, &new.issue("system:node:a"));
    client.reload_certificates();
    within(quiet.closed()).await;
    let error = answer(&client).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unreachable);
    replace(&current, &old.issue("system:node:a"));
    client.reload_certificates();
    answer(&client).await.unwrap();
    assert_eq!(within(watch.next()).await, Some(Change::Listed(vec![])), "the watch goes on");
}

#[tokio::test]
async fn watches_share_few_connections_over_http2_and_leave_calls_alone() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    std::fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
    let listener = listen(&authority, "127.0.0.1", None).await.speaking("h2");
    let accepted = Arc::clone(&listener.accepted);
    let server = Server::serve(listener, |asked| {
        if asked.is_watch() {
            let (sender, answer) = lines();
            tokio::spawn(async move { sender.closed().await });
            answer
        } else if asked.path.ends_with("configmaps") {
            list("1", &[])
        } else {
            Answer::Json(200, json!({"metadata": {}}))
        }
    });
    let client = server.client_of(&cluster(folder.path(), &server, ""), "{}");
    let limits = Limits { qps: 0.0, ..Limits::default() };
    let client = client.with_limits(limits);
    // More than hyper's server lets one connection carry.
    let _watches: Vec<_> = (0..250)
        .map(|index| Watch::<ConfigMap>::start(&client, Selection::object(Some("n"), &index.to_string())))
        .collect();
    server.wait(|asked| asked.iter().filter(|asked| asked.is_watch()).count() == 250).await;
    answer(&client).await.unwrap();
    assert_eq!(accepted.load(SeqCst), 5, "four for watches, one for calls");
}
