//! Making a GET, and those that answers redirect it to.

use bytes::{Buf, Bytes};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

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
    #[error("the server gave an HTTP response to an HTTPS client")]
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
    /// The answer began, and its body broke off.
    #[error("the answer's body broke off")]
    Body(#[source] hyper::Error),
}

impl Get {
    /// Makes the request, and those that answers redirect it to on the same host, ten in all. There is no deadline: drop
    /// the future.
    ///
    /// # Errors
    /// There is no answer, or redirects come to no end.
    pub async fn answer(&self) -> Result<Answer, GetError> {
        let mut hop = Hop::first(self);
        for _ in 0..MOST_REQUESTS {
            // Boxed, because the state of a TLS connection is large.
            match Box::pin(self.ask(&hop)).await? {
                Heard::Answer(answer) => return Ok(answer),
                Heard::Redirect(next) => hop = next,
            }
        }
        Err(GetError::Redirects)
    }

    async fn ask(&self, hop: &Hop) -> Result<Heard, GetError> {
        let request = hop.request(self, Empty::<Bytes>::new()).map_err(GetError::Header)?;
        let socket = connect(&hop.address()).await.map_err(GetError::Dial)?;
        if hop.is_encrypted() {
            let secured = secure(socket, hop.host()).await?;
            exchange(secured, request, hop, self.body_limit).await
        } else {
            exchange(socket, request, hop, self.body_limit).await
        }
    }
}

/// What one request came to.
enum Heard {
    Answer(Answer),
    Redirect(Hop),
}

/// Sends `request` and waits for the answer, as much of it as matters.
async fn exchange<S>(
    stream: S,
    request: http::Request<Empty<Bytes>>,
    hop: &Hop,
    body_limit: usize,
) -> Result<Heard, GetError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(GetError::Exchange)?;
    let talk = async {
        let answer = sender.send_request(request).await.map_err(GetError::Exchange)?;
        if let Some(location) = Hop::location(&answer) {
            let next = hop.next(&location).ok_or(GetError::Location(location))?;
            if next.host() == hop.host() {
                return Ok(Heard::Redirect(next));
            }
        }
        let status = answer.status().as_u16();
        let body = beginning(answer.into_body(), body_limit).await?;
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
