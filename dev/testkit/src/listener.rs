//! The socket, and how all connections over it are cut at once.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::transport::server::Connected;

/// A running server. Dropping it cuts every connection in the middle of whatever is on it, as a crash would.
#[derive(Debug)]
pub(crate) struct Listener {
    accepting: JoinHandle<()>,
    cut: CancellationToken,
}

impl Listener {
    /// Serves `service` at `socket`, in the place of what is there.
    pub(crate) fn bind<S>(socket: &Path, service: S) -> io::Result<Self>
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
    {
        match std::fs::remove_file(socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let cut = CancellationToken::new();
        let connections = UnixListenerStream::new(UnixListener::bind(socket)?).map({
            let cut = cut.clone();
            move |stream| {
                stream.map(|stream| Cuttable { stream, cut: Box::pin(cut.clone().cancelled_owned()) })
            }
        });
        let accepting = tokio::spawn(async move {
            if let Err(error) =
                tonic::transport::Server::builder().serve_with_incoming(service, connections).await
            {
                tracing::warn!(%error, "a fake server stopped serving");
            }
        });
        Ok(Self { accepting, cut })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut.cancel();
    }
}

/// A connection that ends when its listener is dropped.
struct Cuttable {
    stream: UnixStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Cuttable {
    fn poll_whole(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionReset.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl Connected for Cuttable {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_whole(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_whole(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_whole(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
