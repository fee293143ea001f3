//! The socket, and how all connections over it are cut at once.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use cri::v1::image_service_server::ImageServiceServer;
use cri::v1::runtime_service_server::RuntimeServiceServer;
use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::codegen::Service;
use tonic::transport::server::Connected;

use super::serve::Served;

/// The largest request that is accepted, in bytes: containerd's limit.
const RECEIVE_LIMIT: usize = 16 << 20;

/// A running server. Dropping it cuts every connection in the middle of whatever is on it, as a crash would.
#[derive(Debug)]
pub(super) struct Listener {
    accepting: JoinHandle<()>,
    cut: CancellationToken,
}

impl Listener {
    pub(super) fn bind(socket: &Path, served: &Served) -> io::Result<Self> {
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
        let runtime = RuntimeServiceServer::new(served.clone()).max_decoding_message_size(RECEIVE_LIMIT);
        let images = ImageServiceServer::new(served.clone()).max_decoding_message_size(RECEIVE_LIMIT);
        let served = served.clone();
        let dispatch = tower::service_fn(move |request: http::Request<tonic::body::Body>| {
            served.heard(request.uri());
            if request.uri().path().starts_with("/runtime.v1.ImageService/") {
                images.clone().call(request)
            } else {
                runtime.clone().call(request)
            }
        });
        let accepting = tokio::spawn(async move {
            if let Err(error) =
                tonic::transport::Server::builder().serve_with_incoming(dispatch, connections).await
            {
                tracing::warn!(%error, "the fake runtime stopped serving");
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
