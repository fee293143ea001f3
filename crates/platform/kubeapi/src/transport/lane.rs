//! Connections that carry the same kind of requests.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connect::Connector;

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
    calls: Http,
    watches: Mutex<Vec<Lane>>,
}

struct Lane {
    http: Http,
    /// Held by each watch of the lane as well.
    watches: Arc<()>,
}

impl Lanes {
    pub(super) fn new(connector: Connector) -> Self {
        Self { calls: http(&connector), watches: Mutex::default(), connector }
    }

    /// Sends a request, over a lane of its own kind.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        watch: bool,
    ) -> Result<Response<ResponseBody>, Error> {
        let (http, place) = if watch { self.lane() } else { (self.calls.clone(), None) };
        let response = http.request(request).await?;
        Ok(response.map(|body| ResponseBody { body, _place: place }))
    }

    fn lane(&self) -> (Http, Option<Arc<()>>) {
        let mut lanes = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        let free = lanes.iter().position(|lane| Arc::strong_count(&lane.watches) <= WATCHES);
        let index = free.unwrap_or_else(|| {
            lanes.push(Lane { http: http(&self.connector), watches: Arc::new(()) });
            lanes.len() - 1
        });
        let lane = &lanes[index];
        let found = (lane.http.clone(), Some(Arc::clone(&lane.watches)));
        // A lane that nobody is on is not kept; its connection ends when it was idle.
        lanes.retain(|lane| Arc::strong_count(&lane.watches) > 1);
        found
    }
}

fn http(connector: &Connector) -> Http {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .http2_keep_alive_interval(PING.0)
        .http2_keep_alive_timeout(PING.1)
        .http2_adaptive_window(false)
        .build(connector.clone())
}

/// The body of an answer, with its place in the lane.
pub(crate) struct ResponseBody {
    body: Incoming,
    _place: Option<Arc<()>>,
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
