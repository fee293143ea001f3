//! Exec and attach over a WebSocket with the protocol `v5.channel.k8s.io`, which runtimes do not know: each message has its
//! channel in the first byte, and is passed on over the SPDY stream of that kind (KEP-4006).

use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::extract::Request;
use axum::extract::ws::{Message, WebSocket};
use axum::response::Response;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures::stream::SplitStream;
use futures::{Sink, SinkExt as _, StreamExt as _};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use https::Said;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, split};
use tokio::sync::watch;

use super::backend::Backend;
use super::hold::Hold;
use super::spdy::{self, Frame, Frames, Opener};
use super::{Streams, tunnel, websocket};
use crate::Refusal;

/// The WebSocket's protocol.
pub(super) const PROTOCOL: &str = "v5.channel.k8s.io";
/// What is spoken inside of SPDY.
const INNER: HeaderValue = HeaderValue::from_static("v4.channel.k8s.io");
/// The header of a stream that tells what it is for.
const KIND: &str = "streamtype";
/// The most that is read of the runtime's last word, in bytes.
const LAST_WORD: usize = 64 << 10;

/// Channels of the WebSocket.
const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// A message that says of another channel that it has ended.
const CLOSE: u8 = 255;

/// A stream of the runtime's: its channel, what SPDY calls it, and its number there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Lane {
    channel: u8,
    kind: &'static str,
    number: u32,
}

/// The lanes that `streams` need, in the order in which clients of Kubernetes open them.
fn lanes(streams: Streams) -> Vec<Lane> {
    let all = [
        (true, ERROR, "error"),
        (streams.stdin, STDIN, "stdin"),
        (streams.stdout, STDOUT, "stdout"),
        (streams.stderr, STDERR, "stderr"),
        (streams.tty, RESIZE, "resize"),
    ];
    let wanted = all.into_iter().filter(|(wanted, ..)| *wanted);
    wanted.zip((1..).step_by(2)).map(|((_, channel, kind), number)| Lane { channel, kind, number }).collect()
}

/// Answers `request` with a WebSocket, over which the client talks to what `backend` runs.
pub(super) async fn translate(
    request: Request,
    backend: Backend,
    streams: Streams,
    idle: Duration,
) -> Result<Response, Refusal> {
    let hold = Hold::of(&request);
    let work = move |socket| hold.during(session(socket, backend, streams, idle));
    Ok(websocket::accept(request, PROTOCOL, work).await)
}

async fn session(socket: WebSocket, backend: Backend, streams: Streams, idle: Duration) {
    let (mut to_client, mut from_client) = socket.split();
    let lanes = lanes(streams);
    // An empty message tells the client that it is connected.
    let outputs = lanes.iter().filter(|lane| [STDOUT, STDERR, ERROR].contains(&lane.channel));
    let lowest = outputs.map(|lane| lane.channel).min().unwrap_or(ERROR);
    if to_client.send(message(lowest, &[])).await.is_err() {
        return;
    }
    let status = match opened(&backend).await {
        Ok(back) => {
            let (from_runtime, to_runtime) = split(TokioIo::new(back));
            let from_runtime = Frames::of(from_runtime);
            let said = Said::new();
            let (taken, ready) = watch::channel(false);
            let mut down = pin!(down(from_runtime, &mut to_client, &lanes, &taken, &said));
            tokio::select! {
                status = &mut down => status,
                () = up(&mut from_client, to_runtime, &lanes, ready, &said) => None,
                () = said.silence(idle) => Some(failure("nothing was said for too long")),
            }
        }
        Err(refusal) => Some(failure(&refusal.message)),
    };
    let Some(status) = status else { return };
    if to_client.send(message(ERROR, &status)).await.is_ok() {
        websocket::finish(to_client, from_client).await;
    }
}

/// A connection to the runtime that speaks SPDY.
async fn opened(backend: &Backend) -> Result<Upgraded, Refusal> {
    let mut answer = backend.ask(Method::POST, tunnel::spdy(INNER)).await?;
    let status = answer.status();
    if status != StatusCode::SWITCHING_PROTOCOLS {
        let body = Limited::new(answer.into_body(), LAST_WORD).collect().await;
        let text =
            body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        return Err(Refusal::failed(format!("the runtime did not begin the stream ({status}): {text}")));
    }
    let version = answer.headers().get(tunnel::VERSION);
    if version.is_none_or(|version| *version != INNER) {
        return Err(Refusal::failed("the runtime does not know the protocol v4.channel.k8s.io"));
    }
    hyper::upgrade::on(&mut answer).await.map_err(|error| Refusal::failed(telemetry::chain(&error)))
}

fn message(channel: u8, bytes: &[u8]) -> Message {
    let mut message = BytesMut::with_capacity(1 + bytes.len());
    message.put_u8(channel);
    message.put_slice(bytes);
    Message::Binary(message.freeze())
}

/// `Status` of the API for what went wrong here.
fn failure(why: &str) -> Bytes {
    let status = json!({
        "metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500,
        "message": format!("Internal error occurred: {why}"), "details": {"causes": [{"message": why}]},
    });
    Bytes::from(status.to_string())
}

fn broken(error: &io::Error) -> Bytes {
    failure(&format!("the runtime's stream broke: {error}"))
}

/// Opens the streams, and passes on what the client says once the runtime has taken them; not before, as it would drop it.
/// Returns when the client is gone.
async fn up(
    from: &mut SplitStream<WebSocket>,
    mut to: impl AsyncWrite + Unpin,
    lanes: &[Lane],
    mut ready: watch::Receiver<bool>,
    said: &Said,
) {
    let mut opener = Opener::default();
    let opening: Vec<u8> = lanes.iter().flat_map(|lane| opener.open(lane.number, KIND, lane.kind)).collect();
    let begun = async {
        to.write_all(&opening).await?;
        to.flush().await
    };
    let mut listening = begun.await.is_ok() && ready.wait_for(|taken| *taken).await.is_ok();
    while let Some(Ok(message)) = from.next().await {
        said.now();
        // What nobody listens to is dropped: the end of the runtime is told by what it says last.
        if let Some((head, bytes)) = websocket::payload(message).and_then(|message| frame(lanes, message))
            && listening
        {
            let mut frame = head.chain(bytes);
            listening = to.write_all_buf(&mut frame).await.is_ok() && to.flush().await.is_ok();
        }
    }
}

/// What a client's message is for the runtime, the head of a frame and its bytes; nothing if it is for no stream that is
/// open.
fn frame(lanes: &[Lane], mut message: Bytes) -> Option<(Bytes, Bytes)> {
    let lane =
        |channel: u8| lanes.iter().find(|lane| lane.channel == channel && [STDIN, RESIZE].contains(&channel));
    let channel = message.try_get_u8().ok()?;
    let (lane, bytes, fin) = match channel {
        CLOSE => (lane(message.try_get_u8().ok()?)?, Bytes::new(), true),
        channel if !message.is_empty() => (lane(channel)?, message, false),
        _ => return None,
    };
    Some((Bytes::copy_from_slice(&spdy::head(lane.number, bytes.len(), fin)), bytes))
}

/// Passes on what the runtime says, until all its streams have ended. Returns its last word, a `Status`; nothing if the
/// client is gone.
async fn down(
    mut from: Frames<impl AsyncRead + Unpin>,
    to: &mut (impl Sink<Message> + Unpin),
    lanes: &[Lane],
    taken: &watch::Sender<bool>,
    said: &Said,
) -> Option<Bytes> {
    let mut last_word = BytesMut::new();
    let mut untaken: Vec<u32> = lanes.iter().map(|lane| lane.number).collect();
    // Input that the runtime has not read keeps nothing from ending.
    let outputs = lanes.iter().filter(|lane| [STDOUT, STDERR, ERROR].contains(&lane.channel));
    let mut open: Vec<u32> = outputs.map(|lane| lane.number).collect();
    while !open.is_empty() {
        let frame = match from.take() {
            Ok(Some(frame)) => frame,
            // What has been passed on goes out before more is waited for.
            Ok(None) if to.flush().await.is_err() => return None,
            Ok(None) => match from.more().await {
                Ok(true) => {
                    said.now();
                    continue;
                }
                // Without the end of its streams, as some runtimes do when a container has gone.
                Ok(false) => break,
                Err(error) => return Some(broken(&error)),
            },
            Err(error) => return Some(broken(&error)),
        };
        let (stream, ended) = match frame {
            Frame::Data { stream, fin, bytes } => {
                let channel = lanes.iter().find(|lane| lane.number == stream).map(|lane| lane.channel);
                match channel {
                    Some(ERROR) => {
                        let room = LAST_WORD.saturating_sub(last_word.len());
                        last_word.put_slice(&bytes.said()[..bytes.said().len().min(room)]);
                    }
                    Some(channel) if !bytes.said().is_empty() => {
                        to.feed(Message::Binary(bytes.after(channel))).await.ok()?;
                    }
                    _ => {}
                }
                (stream, fin)
            }
            Frame::Reply { stream, fin } => {
                untaken.retain(|untaken| *untaken != stream);
                taken.send_replace(untaken.is_empty());
                (stream, fin)
            }
            Frame::Reset { stream } => (stream, true),
            Frame::GoAway | Frame::Other => continue,
        };
        if ended {
            open.retain(|open| *open != stream);
        }
    }
    if last_word.is_empty() {
        return Some(failure("the runtime ended the stream without a word"));
    }
    Some(last_word.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_and_lanes() {
        let streams = Streams { stdin: true, stdout: true, stderr: false, tty: true };
        let all = lanes(streams);
        let shown: Vec<_> = all.iter().map(|lane| (lane.channel, lane.kind, lane.number)).collect();
        assert_eq!(shown, [(3, "error", 1), (0, "stdin", 3), (1, "stdout", 5), (4, "resize", 7)]);
        let framed = |message: &[u8]| {
            frame(&all, Bytes::copy_from_slice(message)).map(|(head, bytes)| [head, bytes].concat())
        };
        let data =
            |stream, bytes: &[u8], fin| Some([&spdy::head(stream, bytes.len(), fin)[..], bytes].concat());
        for (message, expected) in [
            (&b"\x00hi"[..], data(3, b"hi", false)),
            (b"\x04{}", data(7, b"{}", false)),
            (b"\xff\x00", data(3, b"", true)),
            (b"\x00", None),
            (b"\x01no", None),
            (b"\x03no", None),
            (b"\xff\x01", None),
            (b"\xff", None),
            (b"", None),
        ] {
            assert_eq!(framed(message), expected, "{message:?}");
        }
        let deaf = lanes(Streams { stdout: true, ..Streams::default() });
        assert_eq!(frame(&deaf, Bytes::from_static(b"\x00hi")), None);
    }
}
