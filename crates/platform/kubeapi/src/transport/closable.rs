//! Connections that can be closed from outside.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::open::Ending;

/// A stream of bytes, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that breaks when it is told to, so that everything on it ends at once.
pub(super) struct Closable {
    stream: TokioIo<Box<dyn Stream>>,
    closed: Pin<Box<WaitForCancellationFutureOwned>>,
    /// It is there for HTTP/2.
    shared: Option<Ending>,
}

impl Closable {
    pub(super) fn new(stream: Box<dyn Stream>, closed: CancellationToken, shared: Option<Ending>) -> Self {
        Self { stream: TokioIo::new(stream), closed: Box::pin(closed.cancelled_owned()), shared }
    }

    /// The connection's end, if it was told to end.
    fn broken(&mut self, cx: &mut Context<'_>) -> Option<io::Error> {
        let closed = self.closed.as_mut().poll(cx).is_ready();
        closed.then(|| io::Error::new(io::ErrorKind::ConnectionAborted, "berth connects again"))
    }
}

impl Read for Closable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.broken(cx) {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.stream).poll_read(cx, buf),
        }
    }
}

impl Write for Closable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Connection for Closable {
    fn connected(&self) -> Connected {
        let connected = Connected::new();
        if self.shared.is_some() { connected.negotiated_h2() } else { connected }
    }
}
