//! Connections that carry the same kind of requests.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::connect::Connector;
use super::open::Open;

/// After how long of silence a connection is asked for a sign of life, and how long that may take.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(15));
/// How long a connection without requests is kept.
const IDLE: Duration = Duration::from_secs(90);
/// How many watches one connection carries. Servers allow 100 requests or more on one.
const WATCHES: usize = 64;

type Http = Client<Connector, Full<Bytes>>;

/// One lane for calls, and as many for watches as there must be.
pub(super) struct Lanes {
    connector: Connector,
    calls: Lane,
    watches: Mutex<Vec<Lane>>,
}

/// Requests that share connections: all one, if the server speaks HTTP/2.
#[derive(Clone)]
struct Lane {
    http: Http,
    open: Arc<Open>,
    /// Held by whoever has a connection made, while others wait for it: hyper would have each make one.
    first: Arc<Semaphore>,
    /// Held by each watch of the lane as well.
    watches: Arc<()>,
}

impl Lanes {
    pub(super) fn new(connector: Connector) -> Self {
        Self { calls: Lane::new(&connector), watches: Mutex::default(), connector }
    }

    /// Sends a request, over a lane of its own kind.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        watch: bool,
    ) -> Result<Response<ResponseBody>, Error> {
        let lane = if watch { self.lane() } else { self.calls.clone() };
        let response = lane.send(request).await?;
        Ok(response.map(|body| ResponseBody { body, _place: lane.watches }))
    }

    fn lane(&self) -> Lane {
        let mut lanes = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        // A lane that nobody is on is not kept; its connection ends when it was idle.
        lanes.retain(|lane| Arc::strong_count(&lane.watches) > 1);
        let free = lanes.iter().find(|lane| Arc::strong_count(&lane.watches) <= WATCHES);
        match free {
            Some(lane) => lane.clone(),
            None => {
                let lane = Lane::new(&self.connector);
                lanes.push(lane.clone());
                lane
            }
        }
    }
}

impl Lane {
    fn new(connector: &Connector) -> Self {
        let open = Arc::new(Open::default());
        Self {
            http: http(connector.clone().telling(Arc::clone(&open))),
            open,
            first: Arc::new(Semaphore::new(1)),
            watches: Arc::default(),
        }
    }

    async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Error> {
        let Some(first) = self.first().await else { return self.http.request(request).await };
        let mut captured = capture_connection(&mut request);
        let sending = self.http.request(request);
        tokio::pin!(sending);
        let answered = tokio::select! {
            biased;
            answered = &mut sending => Some(answered),
            _ = captured.wait_for_connection_metadata() => None,
        };
        if let Some(connected) = &*captured.connection_metadata() {
            self.open.opened(connected.is_negotiated_h2());
        }
        drop(first);
        match answered {
            Some(answered) => answered,
            None => sending.await,
        }
    }

    /// The right to have a connection made; `None` where there is one, or each request has its own.
    async fn first(&self) -> Option<SemaphorePermit<'_>> {
        if self.open.is_open() {
            return None;
        }
        // The semaphore is never closed.
        let first = self.first.acquire().await.ok()?;
        if self.open.is_open() { None } else { Some(first) }
    }
}

fn http(connector: Connector) -> Http {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http2_keep_alive_interval(PING.0)
        .http2_keep_alive_timeout(PING.1)
        .http2_adaptive_window(false)
        .build(connector)
}

/// The body of an answer, with its place in the lane.
pub(crate) struct ResponseBody {
    body: Incoming,
    _place: Arc<()>,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
