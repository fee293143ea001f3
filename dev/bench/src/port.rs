//! A node's own API over HTTPS, and a client that may do everything there.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use testkit::tls::{Authority, Identity, TlsClient};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};

/// How long a kubelet may take until it serves.
const SERVES_WITHIN: Duration = Duration::from_secs(60);
const ASKED_EVERY: Duration = Duration::from_millis(100);

/// A port, and the certificates of both sides.
pub(crate) struct Port {
    port: u16,
    authority: String,
    server: Identity,
    client: TlsClient,
}

impl Port {
    /// Takes a port that is free.
    pub(crate) fn new() -> Result<Self> {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
        let port = free.context("find a free port")?.port();
        let authority = Authority::new("bench")?;
        let admin = authority.client("bench", &[])?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let client = TlsClient::new(address, &authority.certificate, Some(&admin))?;
        Ok(Self { port, server: authority.server()?, authority: authority.certificate, client })
    }

    /// Writes the certificates into `dir`, and returns what a `KubeletConfiguration` has to say.
    pub(crate) fn configuration(&self, dir: &Path) -> Result<String> {
        let file = |name: &str, text: &str| {
            let path = dir.join(name);
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
            anyhow::Ok(path)
        };
        let certificate = file("server.crt", &self.server.certificate)?;
        let key = file("server.key", &self.server.key)?;
        let authority = file("clients.crt", &self.authority)?;
        Ok(format!(
            "enableServer: true\n\
             address: 127.0.0.1\n\
             port: {port}\n\
             tlsCertFile: {certificate}\n\
             tlsPrivateKeyFile: {key}\n\
             authentication: {{webhook: {{enabled: false}}, x509: {{clientCAFile: {authority}}}}}\n\
             authorization: {{mode: AlwaysAllow}}\n",
            port = self.port,
            certificate = certificate.display(),
            key = key.display(),
            authority = authority.display(),
        ))
    }

    /// A connection that is kept, once the node serves.
    pub(crate) async fn connect(&self) -> Result<Connection> {
        let give_up = Instant::now() + SERVES_WITHIN;
        let stream = loop {
            match self.client.connect().await {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > give_up => return Err(error).context("connect to the node"),
                Err(_) => sleep(ASKED_EVERY).await,
            }
        };
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.context("connect to the node")?;
        tokio::spawn(connection);
        Ok(Connection { sender })
    }

    /// A connection on which nothing was said yet, and on which nothing waits for more to be said.
    pub(crate) async fn stream(&self) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>> {
        let stream = self.client.connect().await.context("connect to the node")?;
        stream.get_ref().0.set_nodelay(true).context("connect to the node")?;
        Ok(stream)
    }
}

/// A connection to the node, as who scrapes it keeps one.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    async fn ask(&mut self, path: &str) -> Result<Response<Incoming>> {
        let request = Request::get(path).header(http::header::HOST, "localhost").body(Full::default())?;
        self.sender.ready().await.context("the node has closed the connection")?;
        let answer = self.sender.send_request(request).await.with_context(|| format!("GET {path}"))?;
        if !answer.status().is_success() {
            bail!("GET {path}: {}", answer.status());
        }
        Ok(answer)
    }

    /// GETs a text.
    pub(crate) async fn get(&mut self, path: &str) -> Result<String> {
        let answer = self.ask(path).await?;
        let body = answer.into_body().collect().await.with_context(|| format!("GET {path}"))?;
        String::from_utf8(body.to_bytes().into()).with_context(|| format!("GET {path}"))
    }

    /// GETs and throws away; returns how many bytes came.
    pub(crate) async fn drain(&mut self, path: &str) -> Result<u64> {
        let mut body = self.ask(path).await?.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.with_context(|| format!("GET {path}, after {bytes} bytes"))?;
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        Ok(bytes)
    }
}
