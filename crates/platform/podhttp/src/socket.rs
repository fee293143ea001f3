//! A TCP connection to a pod.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// How long closing waits for the other side to take what was sent (`SO_LINGER`).
const LINGER: Duration = Duration::from_secs(1);

/// A connection could not be made.
#[derive(Debug, thiserror::Error)]
#[error("dial tcp {address}")]
pub struct DialError {
    /// Where to.
    pub address: String,
    /// Why.
    pub source: Refusal,
}

/// Why a connection could not be made, in the words of Go programs, which people look for.
#[derive(Debug, thiserror::Error)]
#[error("{}", said(.0))]
pub struct Refusal(io::Error);

/// `connect: connection refused` for `Connection refused (os error 111)`.
fn said(error: &io::Error) -> String {
    let text = error.to_string();
    match (error.raw_os_error(), text.split_once(" (os error")) {
        (Some(_), Some((text, _))) => format!("connect: {}", text.to_lowercase()),
        _ => text,
    }
}

/// Connects to `address` (`host:port`).
///
/// # Errors
/// The name is unknown, or nobody accepts there.
pub async fn connect(address: &str) -> Result<Socket, DialError> {
    let failed = |source| DialError { address: address.to_owned(), source: Refusal(source) };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    sockopt::set_socket_linger(&stream, Some(LINGER)).map_err(|errno| failed(errno.into()))?;
    Ok(Socket { stream: Some(stream), unanswered: false })
}

/// A connection. While closing waits for the other side, the thread does nothing else; so one whose other side owes an
/// answer, and may be gone, is closed on a thread that may block.
#[derive(Debug)]
pub struct Socket {
    /// There until it is dropped.
    stream: Option<TcpStream>,
    /// Whether something was sent and nothing has come in since.
    unanswered: bool,
}

impl Socket {
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take().filter(|_| self.unanswered) else { return };
        if let (Ok(stream), Ok(runtime)) = (stream.into_std(), Handle::try_current()) {
            drop(runtime.spawn_blocking(move || drop(stream)));
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.stream()?.poll_read(cx, buf);
        if read.is_ready() {
            self.unanswered = false;
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(cx, buf);
        self.unanswered = true;
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn connections_linger_and_those_without_an_answer_are_closed_elsewhere() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut socket = connect(&address).await.unwrap();
        let (mut other, _) = listener.accept().await.unwrap();
        let linger = sockopt::socket_linger(socket.stream.as_ref().unwrap()).unwrap();
        assert_eq!((linger, socket.unanswered), (Some(LINGER), false));
        socket.write_all(b"x").await.unwrap();
        assert!(socket.unanswered);
        other.write_all(b"y").await.unwrap();
        socket.read_u8().await.unwrap();
        assert!(!socket.unanswered);
        socket.write_all(b"z").await.unwrap();
        drop(socket);
        let mut rest = Vec::new();
        other.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"xz");
    }

    #[tokio::test]
    async fn nobody_accepts() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = connect(&address).await.unwrap_err();
        assert_eq!(telemetry::chain(&error), format!("dial tcp {address}: connect: connection refused"));
    }
}
