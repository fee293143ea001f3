//! A command's streams over a WebSocket, as clients of the API talk to nodes and to runtimes.

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, header};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

/// What is first in each message: the stream that it is of. The last is told how the command ended.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STATUS: u8 = 3;

/// What is sent at once, in bytes: as much as `kubectl` reads at once.
pub(super) const PIECE: u64 = 32 << 10;

/// The streams of a command.
pub(super) struct Stream<S> {
    to: SplitSink<WebSocketStream<S>, Message>,
    from: SplitStream<WebSocketStream<S>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// Asks at `connection` for `url`, whose scheme is `ws` or `wss`, with the protocol `protocol`.
    pub(super) async fn open(connection: S, url: &str, protocol: &'static str) -> Result<Self> {
        let mut request = url.into_client_request().context("ask for a stream")?;
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        let (socket, _) =
            client_async(request, connection).await.with_context(|| format!("begin {protocol}"))?;
        let (to, from) = socket.split();
        Ok(Self { to, from })
    }

    /// Gives the command `input` bytes, a multiple of [`PIECE`], and reads what it writes until it has ended, well.
    /// Returns how many bytes that was.
    pub(super) async fn run(mut self, input: u64) -> Result<u64> {
        let mut message = vec![0; 1 + usize::try_from(PIECE)?];
        message[0] = STDIN;
        let message = Bytes::from(message);
        let (to, mut from) = (&mut self.to, self.from);
        let given = async {
            for _ in 0..input / PIECE {
                // Why nobody takes it any more is told by what comes in last.
                if to.send(Message::Binary(message.clone())).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let written = async {
            let mut output = Output::default();
            while let Some(message) = from.next().await {
                let message = message.with_context(|| format!("the output, after {} bytes", output.bytes))?;
                if let Message::Binary(message) = message
                    && output.take(&message)?
                {
                    return Ok(output.bytes);
                }
            }
            bail!("the stream ended after {} bytes, and not how the command did", output.bytes)
        };
        futures::future::try_join(written, given).await.map(|(bytes, ())| bytes)
    }
}

/// What came of a command.
#[derive(Default)]
struct Output {
    bytes: u64,
}

/// The `Status` of the API, as far as it matters here.
#[derive(Deserialize)]
struct Status {
    status: String,
    #[serde(default)]
    message: String,
}

impl Output {
    /// Takes a message; true if the command has ended well.
    fn take(&mut self, message: &[u8]) -> Result<bool> {
        match message.split_first() {
            Some((&STDOUT, text)) => self.bytes += text.len() as u64,
            // An empty one only tells that there is such a stream.
            Some((&STATUS, text)) if !text.is_empty() => {
                let status: Status = serde_json::from_slice(text).context("read how the command ended")?;
                if status.status != "Success" {
                    bail!("the command failed after {} bytes: {}", self.bytes, status.message);
                }
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    #[test]
    fn output_is_counted_until_the_command_has_ended() {
        let mut output = Output::default();
        for message in [&b""[..], b"\x01", b"\x01abc", b"\x02oh", b"\x03", b"\x01de"] {
            assert!(!output.take(message).unwrap(), "{message:?}");
        }
        assert!(output.take(b"\x03{\"metadata\":{},\"status\":\"Success\"}").unwrap());
        assert_eq!(output.bytes, 5);
        let failed = output.take(b"\x03{\"status\":\"Failure\",\"message\":\"no such file\"}");
        assert_eq!(failed.unwrap_err().to_string(), "the command failed after 5 bytes: no such file");
        assert!(output.take(b"\x03nonsense").is_err());
    }

    #[tokio::test]
    async fn input_goes_out_in_pieces_while_output_comes_in() {
        let (near, far) = tokio::io::duplex(1 << 10);
        let (to, from) = WebSocketStream::from_raw_socket(near, Role::Client, None).await.split();
        let command = async {
            let mut socket = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
            let mut lengths = Vec::new();
            for _ in 0..3 {
                let message = socket.next().await.unwrap().unwrap().into_data();
                assert_eq!(message[0], STDIN);
                lengths.push(message.len() as u64 - 1);
                socket.send(Message::binary(&b"\x01out"[..])).await.unwrap();
            }
            socket.send(Message::binary(&b"\x03{\"status\":\"Success\"}"[..])).await.unwrap();
            lengths
        };
        let (bytes, lengths) = tokio::join!(Stream { to, from }.run(3 * PIECE), command);
        assert_eq!((bytes.unwrap(), lengths), (9, vec![PIECE; 3]));
    }

    #[tokio::test]
    async fn a_stream_that_ends_without_a_status_is_an_error() {
        let (near, far) = tokio::io::duplex(1 << 10);
        let (to, from) = WebSocketStream::from_raw_socket(near, Role::Client, None).await.split();
        let mut socket = WebSocketStream::from_raw_socket(far, Role::Server, None).await;
        let command = async {
            socket.send(Message::binary(&b"\x01out"[..])).await.unwrap();
            drop(socket);
        };
        let (bytes, ()) = tokio::join!(Stream { to, from }.run(0), command);
        assert!(bytes.unwrap_err().to_string().contains("after 3 bytes"));
    }
}
