//! The server on a socket: who gets in by which certificate, and what a restart leaves as it was.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use solo::{Settings, Solo, SoloError};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

struct Running {
    address: std::net::SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), SoloError>>,
}

async fn start(dir: &Path) -> Running {
    let settings =
        Settings { dir: dir.to_owned(), listen: "127.0.0.1:0".parse().unwrap(), node: "n1".to_owned() };
    let solo = Solo::open(&settings).await.unwrap();
    let (address, stop) = (solo.address(), CancellationToken::new());
    Running { address, task: tokio::spawn(solo.serve(stop.clone())), stop }
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// A client with the certificate `identity` of the directory, or without one.
fn client(dir: &Path, identity: Option<&str>) -> TlsConnector {
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

async fn ask(
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

#[tokio::test]
async fn certificates_tell_who_asks() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let (admin, node) = (client(dir.path(), Some("admin")), client(dir.path(), Some("node-n1")));
    let nobody = client(dir.path(), None);
    for (client, path, code) in [
        (&admin, "/api/v1/secrets", 200),
        (&node, "/api/v1/secrets", 403),
        (&node, "/api/v1/services", 200),
        (&nobody, "/api/v1/services", 401),
        (&nobody, "/api", 401),
        (&nobody, "/healthz", 200),
    ] {
        assert_eq!(ask(&running, client, "GET", path, &Value::Null).await.unwrap().0, code, "{path}");
    }
    // A certificate of somebody else's authority is as good as none.
    let other = tempfile::tempdir().unwrap();
    start(other.path()).await.stop().await;
    std::fs::copy(dir.path().join("pki/ca.crt"), other.path().join("pki/ca.crt")).unwrap();
    let foreign = client(other.path(), Some("admin"));
    for (path, code) in [("/api/v1/secrets", 401), ("/healthz", 200)] {
        assert_eq!(ask(&running, &foreign, "GET", path, &Value::Null).await.unwrap().0, code, "{path}");
    }
    running.stop().await;
}

#[tokio::test]
async fn what_is_secret_is_for_its_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("solo");
    start(&own).await.stop().await;
    let mode = |path: &str| own.join(path).metadata().unwrap().permissions().mode() & 0o777;
    for path in
        ["admin.kubeconfig", "node.kubeconfig", "store.redb", "pki/ca.key", "pki/sa.key", "pki/admin.key"]
    {
        assert_eq!(mode(path), 0o600, "{path}");
    }
    assert_eq!((mode(""), mode("pki")), (0o700, 0o700));
}

#[tokio::test]
async fn a_restart_leaves_everything_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let admin = client(dir.path(), Some("admin"));
    let map = json!({"metadata": {"name": "c"}, "data": {"a": "b"}});
    let path = "/api/v1/namespaces/default/configmaps";
    assert_eq!(ask(&running, &admin, "POST", path, &map).await.unwrap().0, 201);
    let before = ask(&running, &admin, "GET", "/api/v1/configmaps", &Value::Null).await.unwrap().1;
    running.stop().await;
    let running = start(dir.path()).await;
    let after = ask(&running, &admin, "GET", "/api/v1/configmaps", &Value::Null).await.unwrap().1;
    assert_eq!(before, after);
    running.stop().await;
}

#[tokio::test]
async fn one_store_has_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let settings = Settings {
        dir: dir.path().to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        node: "n1".to_owned(),
    };
    assert!(matches!(Solo::open(&settings).await, Err(SoloError::Disk(_))));
    running.stop().await;
}

#[tokio::test]
async fn logs_are_what_the_node_answers() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path()).await;
    let admin = client(dir.path(), Some("admin"));
    let (certificate, key) = https::self_signed(dir.path(), "n1").unwrap();
    let tls = https::Tls::new(
        https::TlsPolicy::default(),
        https::Pem::File(certificate),
        https::Pem::File(key),
        None,
    );
    let listener = https::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = listener.local_addr().unwrap().port();
    let limits = https::Limits {
        connections: 9,
        streams: 9,
        handshake: std::time::Duration::from_secs(10),
        first_request: std::time::Duration::from_secs(10),
        idle: std::time::Duration::from_secs(10),
        grace: std::time::Duration::ZERO,
    };
    let router = axum::Router::new().fallback(|uri: http::Uri| async move { uri.to_string() });
    let node = tokio::spawn(https::serve(listener, Some(tls.unwrap()), router, limits, running.stop.clone()));
    let mut object = json!({"metadata": {"name": "n1"}});
    assert_eq!(ask(&running, &admin, "POST", "/api/v1/nodes", &object).await.unwrap().0, 201);
    object["status"] = json!({"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}});
    assert_eq!(ask(&running, &admin, "PUT", "/api/v1/nodes/n1/status", &object).await.unwrap().0, 200);
    let pod = json!({"metadata": {"name": "p"},
        "spec": {"nodeName": "n1", "containers": [{"name": "a", "image": "i"}]}});
    let pods = "/api/v1/namespaces/default/pods";
    assert_eq!(ask(&running, &admin, "POST", pods, &pod).await.unwrap().0, 201);
    for (path, expected) in [
        (format!("{pods}/p/log?follow=true"), "/containerLogs/default/p/a?follow=true"),
        ("/api/v1/nodes/n1/proxy/stats/summary?a=b".to_owned(), "/stats/summary?a=b"),
    ] {
        let (code, body) = ask(&running, &admin, "GET", &path, &Value::Null).await.unwrap();
        assert_eq!((code, &*body), (200, expected.as_bytes()));
    }
    running.stop().await;
    node.await.unwrap();
}
