//! A connection as the HTTP/2 library sees it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::sync::OwnedSemaphorePermit;
use tonic::transport::server::Connected;

use crate::authority::Renamed;

const PIECE: usize = 4096;

/// A client's connection, whose name for the server is replaced while it is read.
#[derive(Debug)]
pub(crate) struct Stream {
    stream: UnixStream,
    renamed: Renamed,
    _place: OwnedSemaphorePermit,
}

impl Stream {
    pub(crate) fn new(stream: UnixStream, place: OwnedSemaphorePermit) -> Self {
        Self { stream, renamed: Renamed::default(), _place: place }
    }
}

impl Connected for Stream {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.renamed.ready().is_empty() {
            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                this.renamed.end();
                break;
            }
            this.renamed.feed(piece.filled());
        }
        let ready = this.renamed.ready();
        let count = ready.len().min(buf.remaining());
        buf.put_slice(&ready[..count]);
        this.renamed.seen(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
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
