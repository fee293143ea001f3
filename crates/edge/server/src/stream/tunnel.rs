//! Port-forwarding over a WebSocket whose messages carry SPDY: what is inside goes to the runtime as it is (KEP-4006).

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::extract::ws::{Message, WebSocket};
use axum::response::Response;
use bytes::Bytes;
use futures::{Sink, SinkExt as _, StreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use https::Said;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};

use super::backend::Backend;
use super::hold::Hold;
use super::proxy::refused;
use super::websocket;
use crate::Refusal;

/// The WebSocket's protocol.
pub(super) const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";
/// What is spoken inside of SPDY.
const INNER: HeaderValue = HeaderValue::from_static("portforward.k8s.io");
/// Where that is negotiated.
pub(super) const VERSION: HeaderName = HeaderName::from_static("x-stream-protocol-version");
/// How much is copied at once, in bytes.
const PIECE: usize = 32 * 1024;

/// The headers of a request for SPDY, with `inner` spoken inside.
pub(super) fn spdy(inner: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("SPDY/3.1"));
    headers.insert(VERSION, inner);
    headers
}

/// Asks `backend` for SPDY, and connects the client of `request` with it.
pub(super) async fn tunnel(request: Request, backend: &Backend, idle: Duration) -> Result<Response, Refusal> {
    let mut answer = backend.ask(Method::POST, spdy(INNER)).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return refused(answer.map(Body::new));
    }
    let hold = Hold::of(&request);
    let back = hyper::upgrade::on(&mut answer);
    let work = move |socket| {
        hold.during(async move {
            if let Ok(back) = back.await {
                pump(socket, TokioIo::new(back), idle).await;
            }
        })
    };
    Ok(websocket::accept(request, PROTOCOL, work).await)
}

async fn pump(socket: WebSocket, back: impl AsyncRead + AsyncWrite, idle: Duration) {
    let said = Said::new();
    let (mut to_client, mut from_client) = socket.split();
    let (from_runtime, mut to_runtime) = split(back);
    let up = async {
        while let Some(Ok(message)) = from_client.next().await {
            said.now();
            if let Some(bytes) = websocket::payload(message)
                && to_runtime.write_all(&bytes).await.is_err()
            {
                // The end of the runtime is told by what it says last.
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = up => return,
        () = down(from_runtime, &mut to_client, &said) => {}
        () = said.silence(idle) => return,
    }
    websocket::finish(to_client, from_client).await;
}

/// Passes on what the runtime says until it ends, or the client is gone.
async fn down(mut from: impl AsyncRead + Unpin, to: &mut (impl Sink<Message> + Unpin), said: &Said) {
    let mut piece = vec![0; PIECE];
    while let Ok(read) = from.read(&mut piece).await
        && read > 0
    {
        said.now();
        if to.send(Message::Binary(Bytes::copy_from_slice(&piece[..read]))).await.is_err() {
            return;
        }
    }
}
