//! One connection: through a proxy if there is one, with TLS if the server speaks it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service};

use super::closable::Closable;
use super::open::{Ending, Open};

/// How long all of connecting may take.
const DEADLINE: Duration = Duration::from_secs(15);
/// After how long of silence the kernel asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Connects to the API server. Connections break when `closed` is cancelled.
#[derive(Clone)]
pub(super) struct Connector {
    tls: Option<Arc<ClientConfig>>,
    server_name: Option<ServerName<'static>>,
    proxies: Arc<Matcher>,
    closed: CancellationToken,
    open: Arc<Open>,
}

/// Which proxy is before which server: that of the kubeconfig, or what `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
pub(super) fn proxies(named: Option<&Uri>) -> Arc<Matcher> {
    Arc::new(match named {
        Some(uri) => Matcher::builder().all(uri.to_string()).build(),
        None => Matcher::from_env(),
    })
}

impl Connector {
    pub(super) fn new(
        tls: Option<Arc<ClientConfig>>,
        server_name: Option<ServerName<'static>>,
        proxies: Arc<Matcher>,
        closed: CancellationToken,
    ) -> Self {
        Self { tls, server_name, proxies, closed, open: Arc::default() }
    }

    /// The same, which tells `open` of connections that end.
    pub(super) fn telling(self, open: Arc<Open>) -> Self {
        Self { open, ..self }
    }

    async fn connect(self, server: Uri) -> Result<Closable, BoxError> {
        let tcp = self.reach(&server).await?;
        let Some(config) = self.tls else {
            return Ok(Closable::new(Box::new(tcp), self.closed, None));
        };
        let name = match self.server_name {
            Some(name) => name,
            None => {
                let host = server.host().unwrap_or_default();
                ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']').to_owned())?
            }
        };
        let stream = TlsConnector::from(config).connect(name, tcp).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let shared = http2.then(|| Ending(self.open));
        Ok(Closable::new(Box::new(stream), self.closed, shared))
    }

    async fn reach(&self, server: &Uri) -> Result<TcpStream, BoxError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        let Some(proxy) = self.proxies.intercept(server) else {
            return Ok(tcp.call(server.clone()).await?.into_inner());
        };
        // The tunnel takes the port from the URL, and knows none by its scheme.
        let server = with_port(server)?;
        let stream: TokioIo<TcpStream> = match proxy.uri().scheme_str() {
            Some("socks5" | "socks5h") => {
                let mut socks = SocksV5::new(proxy.uri().clone(), tcp).local_dns(false);
                if let Some((user, password)) = proxy.raw_auth() {
                    socks = socks.with_auth(user.to_owned(), password.to_owned());
                }
                socks.call(server).await?
            }
            Some("http") => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp);
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                tunnel.call(server).await?
            }
            other => {
                return Err(format!("a proxy with scheme {:?} is not supported", other.unwrap_or("")).into());
            }
        };
        Ok(stream.into_inner())
    }
}

fn with_port(server: &Uri) -> Result<Uri, http::Error> {
    if server.port().is_some() {
        return Ok(server.clone());
    }
    let port = if server.scheme_str() == Some("http") { 80 } else { 443 };
    let authority = format!("{}:{port}", server.host().unwrap_or_default());
    Uri::builder()
        .scheme(server.scheme_str().unwrap_or("https"))
        .authority(authority)
        .path_and_query("/")
        .build()
}

impl Service<Uri> for Connector {
    type Response = Closable;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Closable, BoxError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            match tokio::time::timeout(DEADLINE, connector.connect(server)).await {
                Ok(connected) => connected,
                Err(_) => Err(format!("no connection within {}s", DEADLINE.as_secs()).into()),
            }
        })
    }
}
