//! Making a GET, and those that answers redirect it to.

use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use crate::hop::Hop;
use crate::socket::{DialError, connect};
use crate::tls::secure;
use crate::{Get, TargetError};

/// The most requests that are made for one GET: the first and those that it is redirected to.
const MOST_REQUESTS: usize = 10;

/// What came back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Its status. One that redirects is an answer where it leads to another host, or nowhere.
    pub status: u16,
    /// The beginning of its body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// It is not known where to go.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// What comes out of the action's fields is no URL.
    #[error("{url:?} is no URL")]
    Url {
        /// What came out.
        url: String,
        /// What is wrong with it.
        source: http::uri::InvalidUri,
    },
    /// A header is none.
    #[error("a header cannot be sent")]
    Header(#[source] http::Error),
    /// There is no connection.
    #[error(transparent)]
    Dial(DialError),
    /// There is no encrypted connection.
    #[error("tls: {0}")]
    Tls(String),
    /// The server answered the beginning of an encrypted connection in HTTP.
    #[error("http: server gave HTTP response to HTTPS client")]
    SpeaksHttp,
    /// The server does not answer in HTTP, or hung up.
    #[error("no answer in HTTP")]
    Exchange(#[source] hyper::Error),
    /// It is redirected to something that is no URL.
    #[error("cannot be redirected to {0:?}")]
    Location(String),
    /// It is redirected again and again.
    #[error("stopped after {MOST_REQUESTS} redirects")]
    Redirects,
    /// No answer began in time.
    #[error("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")]
    Timeout,
    /// The answer began, and its body broke off.
    #[error("the answer's body broke off")]
    Body(#[source] hyper::Error),
    /// The answer began, and its body did not end in time.
    #[error("context deadline exceeded (Client.Timeout or context cancellation while reading body)")]
    BodyTimeout,
}

impl Get {
    /// Makes the request, and those that answers redirect it to on the same host, ten in all, within `limit` (`None`: it
    /// may take as long as it wants).
    ///
    /// # Errors
    /// There is no answer, or redirects come to no end.
    pub async fn answer(&self, limit: Option<Duration>) -> Result<Answer, GetError> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let mut hop = Hop::first(self);
        for _ in 0..MOST_REQUESTS {
            match self.ask(&hop, deadline).await? {
                Heard::Answer(answer) => return Ok(answer),
                Heard::Redirect(next) => hop = next,
            }
        }
        Err(GetError::Redirects)
    }

    async fn ask(&self, hop: &Hop, deadline: Option<Instant>) -> Result<Heard, GetError> {
        let request = hop.request(self, Empty::<Bytes>::new()).map_err(GetError::Header)?;
        let (mut sender, connection) = within(deadline, GetError::Timeout, async {
            let handshake = hyper::client::conn::http1::handshake(TokioIo::new(open(hop).await?));
            handshake.await.map_err(GetError::Exchange)
        })
        .await?;
        let talk = async {
            let asked = async { sender.send_request(request).await.map_err(GetError::Exchange) };
            let answer = within(deadline, GetError::Timeout, asked).await?;
            if let Some(location) = Hop::location(&answer) {
                let next = hop.next(&location).ok_or(GetError::Location(location))?;
                if next.host() == hop.host() {
                    return Ok(Heard::Redirect(next));
                }
            }
            let status = answer.status().as_u16();
            let body = beginning(answer.into_body(), self.body_limit);
            let body = within(deadline, GetError::BodyTimeout, body).await?;
            Ok(Heard::Answer(Answer { status, body }))
        };
        let mut talk = std::pin::pin!(talk);
        // The connection is driven here, so that it ends with the request. What ended it is told to `talk` too.
        tokio::select! {
            biased;
            heard = &mut talk => heard,
            _ = connection => talk.await,
        }
    }
}

/// What one request came to.
enum Heard {
    Answer(Answer),
    Redirect(Hop),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Connects to where `hop` goes.
async fn open(hop: &Hop) -> Result<Box<dyn Stream>, GetError> {
    let socket = connect(&hop.address()).await.map_err(GetError::Dial)?;
    if !hop.is_encrypted() {
        return Ok(Box::new(socket));
    }
    // Boxed, because the state of a handshake is large.
    Ok(Box::new(Box::pin(secure(socket, hop.host())).await?))
}

/// What comes out of `step` before `deadline`.
async fn within<T>(
    deadline: Option<Instant>,
    late: GetError,
    step: impl Future<Output = Result<T, GetError>>,
) -> Result<T, GetError> {
    match deadline {
        Some(deadline) => timeout_at(deadline, step).await.unwrap_or(Err(late)),
        None => step.await,
    }
}

/// The first `limit` bytes of a body.
async fn beginning(mut body: Incoming, limit: usize) -> Result<Vec<u8>, GetError> {
    let mut kept = Vec::new();
    while kept.len() < limit
        && let Some(frame) = body.frame().await
    {
        let Ok(mut data) = frame.map_err(GetError::Body)?.into_data() else { continue };
        let part = data.copy_to_bytes(data.remaining().min(limit - kept.len()));
        kept.extend_from_slice(&part);
    }
    Ok(kept)
}
