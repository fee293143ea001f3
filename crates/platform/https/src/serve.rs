//! Accepting connections, and serving each of them.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tracing::debug;

use crate::activity::Activity;
use crate::bind::keep_alive;
use crate::{Connection, Tls, held};

/// The largest head of a request, in bytes. Commands of exec are in the URL, which may have 64 KiB.
const HEAD: usize = 128 * 1024;
/// An HTTP/2 connection is asked for a sign of life after this time without one.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
/// A connection that is told to end has so long to do so.
const CLOSING: Duration = Duration::from_secs(5);
/// How long to wait when connections cannot be accepted, as when there are too many open files.
const REFUSED: Duration = Duration::from_millis(100);

/// What clients may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Connections at once, with those that were upgraded. Others wait to be accepted.
    pub connections: usize,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// How long agreeing on TLS may take.
    pub handshake: Duration,
    /// How long the first request may take to come. Whoever sends it byte by byte is cut off then.
    pub first_request: Duration,
    /// How long a connection is kept on which nothing is asked, and how long later requests may take to come.
    pub idle: Duration,
    /// How long answers have to finish when the server ends.
    pub grace: Duration,
}

impl Default for Limits {
    /// As much as a node's API needs: idle connections are kept for 90 s, as upstream.
    fn default() -> Self {
        Self {
            connections: 1024,
            streams: 250,
            handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(30),
            idle: Duration::from_secs(90),
            grace: Duration::from_secs(1),
        }
    }
}

/// Serves `router` to the clients of `listener` until `shutdown`: over TLS HTTP/2 and HTTP/1.1, without it HTTP/1.1. Each
/// request has its [`Connection`] as an extension. Answers that are not finished when the grace is over are cut off.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let server = Arc::new(Server { tls, router, limits, shutdown: shutdown.clone() });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let server = Arc::clone(&server);
                connections.spawn(async move {
                    if let Err(error) = Box::pin(server.connection(stream, peer, place)).await {
                        debug!(%peer, error = &*error, "A connection ended");
                    }
                });
            }
            // Those that are open will close.
            Err(error) => {
                debug!(error = &error as &dyn std::error::Error, "A connection was not accepted");
                tokio::time::sleep(REFUSED).await;
            }
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(limits.grace, finished).await;
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

struct Server {
    tls: Option<Arc<Tls>>,
    router: Router,
    limits: Limits,
    shutdown: CancellationToken,
}

impl Server {
    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        place: OwnedSemaphorePermit,
    ) -> Result<(), ConnectionError> {
        keep_alive(&stream)?;
        let stopping = self.shutdown.clone();
        let Some(tls) = &self.tls else {
            return self.http1(stream, Connection::new(peer, Vec::new(), stopping, place)).await;
        };
        let agreed = timeout(self.limits.handshake, tls.acceptor().accept(stream));
        let stream = tokio::select! {
            agreed = agreed => agreed??,
            () = self.shutdown.cancelled() => return Ok(()),
        };
        let session = stream.get_ref().1;
        let certificates = session.peer_certificates().map(<[_]>::to_vec).unwrap_or_default();
        let newer = session.alpn_protocol() == Some(b"h2");
        let connection = Connection::new(peer, certificates, stopping, place);
        if newer { self.http2(stream, connection).await } else { self.http1(stream, connection).await }
    }

    async fn http1<S>(&self, stream: S, connection: Connection) -> Result<(), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::new();
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.idle)
            .max_header_size(HEAD)
            .max_buf_size(HEAD);
        let service = service(self.router.clone(), connection, activity.clone());
        let served = builder.serve_connection(TokioIo::new(stream), service_fn(service)).with_upgrades();
        self.drive(served, http1::UpgradeableConnection::graceful_shutdown, &activity).await
    }

    async fn http2<S>(&self, stream: S, connection: Connection) -> Result<(), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::new();
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(SIGN_OF_LIFE)
            .max_concurrent_streams(self.limits.streams)
            .max_header_list_size(HEAD as u32);
        let service = service(self.router.clone(), connection, activity.clone());
        let served = builder.serve_connection(TokioIo::new(stream), service_fn(service));
        self.drive(served, http2::Connection::graceful_shutdown, &activity).await
    }

    /// Serves one connection to its end; tells it to end when nothing is asked of it, or the server ends.
    async fn drive<C>(
        &self,
        served: C,
        close: impl Fn(Pin<&mut C>),
        activity: &Activity,
    ) -> Result<(), ConnectionError>
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut served = pin!(served);
        tokio::select! {
            ended = served.as_mut() => return Ok(ended?),
            () = activity.idle(self.limits.first_request, self.limits.idle) => {
                close(served.as_mut());
                return Ok(timeout(CLOSING, served).await??);
            }
            () = self.shutdown.cancelled() => close(served.as_mut()),
        }
        // The server's grace bounds this.
        Ok(served.await?)
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

fn service(
    router: Router,
    connection: Connection,
    activity: Activity,
) -> impl Fn(Request<Incoming>) -> Answer {
    move |request| {
        let counted = activity.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connection.clone());
        let answer = router.clone().oneshot(request);
        Box::pin(async move { Ok(answer.await?.map(|body| held(body, counted))) })
    }
}
