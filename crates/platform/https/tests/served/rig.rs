//! A server of the test's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use axum::{Extension, body::Body};
use bytes::Bytes;
use futures::StreamExt as _;
use http::Request;
use https::{Authorities, Connection, Limits, Pem, Tls, TlsPolicy, bind, serve};
use hyper_util::rt::TokioIo;
use testkit::tls::{Authority, Identity, TlsClient};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take that ought to happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

pub(crate) struct Rig {
    pub(crate) authority: Authority,
    pub(crate) address: SocketAddr,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<()>,
    pub(crate) dir: tempfile::TempDir,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default(), TlsPolicy::default()).await
    }

    pub(crate) async fn with(limits: Limits, policy: TlsPolicy) -> Self {
        let authority = Authority::new("authority").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let rig = |name: &str| dir.path().join(name);
        write(&rig("tls"), &authority.server().unwrap());
        std::fs::write(rig("clients.crt"), &authority.certificate).unwrap();
        let clients = Authorities::new(Pem::File(rig("clients.crt"))).unwrap();
        let (certificate, key) = (Pem::File(rig("tls.crt")), Pem::File(rig("tls.key")));
        let tls = Tls::new(policy, certificate, key, Some(Arc::clone(&clients))).unwrap();
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/who", get(who))
            .route("/endless", get(endless))
            .route("/echo", get(echo))
            .with_state(clients);
        let stop = CancellationToken::new();
        let task = tokio::spawn(serve(listener, Some(tls), router, limits, stop.clone()));
        Self { authority, address, stop, task, dir }
    }

    pub(crate) fn client(&self, identity: Option<&Identity>) -> TlsClient {
        TlsClient::new(self.address, &self.authority.certificate, identity).unwrap()
    }

    pub(crate) fn files(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Writes certificate and key as `.crt` and `.key` beside each other.
pub(crate) fn write(path: &std::path::Path, identity: &Identity) {
    std::fs::write(path.with_extension("crt"), &identity.certificate).unwrap();
    std::fs::write(path.with_extension("key"), &identity.key).unwrap();
}

async fn who(State(clients): State<Arc<Authorities>>, Extension(over): Extension<Connection>) -> String {
    assert!(over.peer().ip().is_loopback());
    match over.client(&clients) {
        Ok(Some(client)) => format!("{} of {}", client.name, client.groups.join(" and ")),
        Ok(None) => "nobody".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// A first word, and then nothing for ever.
async fn endless() -> Body {
    let first = futures::stream::once(async { Ok::<_, std::io::Error>(Bytes::from_static(b"word")) });
    Body::from_stream(first.chain(futures::stream::pending()))
}

/// Speaks another protocol: what is said is said back, until the server ends.
async fn echo(Extension(over): Extension<Connection>, request: Request<Body>) -> http::Response<Body> {
    tokio::spawn(async move {
        let mut stream = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
        let mut word = [0; 4];
        let talk = async {
            while stream.read_exact(&mut word).await.is_ok() {
                stream.write_all(&word).await.unwrap();
                stream.flush().await.unwrap();
            }
        };
        tokio::select! {
            () = talk => {}
            () = over.stopping() => {}
        }
    });
    let switch = http::Response::builder().status(101);
    switch.header("connection", "upgrade").header("upgrade", "echo").body(Body::empty()).unwrap()
}
