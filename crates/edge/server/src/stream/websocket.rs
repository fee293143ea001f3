//! WebSockets (RFC 6455), as far as both of our uses of them have something in common.

use axum::body::Body;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{FromRequestParts as _, Request};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::stream::SplitStream;
use futures::{Sink, SinkExt as _, StreamExt as _};
use http::{HeaderMap, header};
use https::CLOSING;
use tokio::time::timeout;

/// The largest message of a client, in bytes. Clients send what they read at once, which is 32 KiB.
const LARGEST: usize = 4 << 20;

/// Whether a request is for a WebSocket with the protocol `name`.
pub(super) fn offers(headers: &HeaderMap, name: &str) -> bool {
    let upgrade =
        headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let offered =
        headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    upgrade && offered.flat_map(|value| value.split(',')).any(|offered| offered.trim() == name)
}

/// Answers `request`, and does `work` over the WebSocket with the protocol `name` that it becomes.
///
/// # Errors
/// The answer to a request that cannot become a WebSocket.
pub(super) async fn accept<F>(
    request: Request,
    name: &'static str,
    work: impl FnOnce(WebSocket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let (mut parts, _) = request.into_parts();
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &()).await;
    match upgrade {
        Ok(upgrade) => {
            let upgrade = upgrade.max_message_size(LARGEST).max_frame_size(LARGEST).protocols([name]);
            upgrade.on_upgrade(work).map(Body::new)
        }
        Err(rejection) => rejection.into_response(),
    }
}

/// The bytes of a message; `None` if it is not for us to read.
pub(super) fn payload(message: Message) -> Option<Bytes> {
    match message {
        Message::Binary(bytes) => Some(bytes),
        Message::Text(text) => Some(Bytes::from(text)),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => None,
    }
}

/// Says that this is the end, and waits until the client closes the connection: if we did, what it has not read yet could
/// be lost. `kubectl` and the API server take an end without a code for a connection that broke.
pub(super) async fn finish(mut to: impl Sink<Message> + Unpin, mut from: SplitStream<WebSocket>) {
    let end = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::default() };
    let closed = async {
        let _ = to.send(Message::Close(Some(end))).await;
        while let Some(Ok(_)) = from.next().await {}
    };
    let _ = timeout(CLOSING, closed).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_offered_in_a_list() {
        let mut headers = HeaderMap::new();
        headers
            .insert(header::SEC_WEBSOCKET_PROTOCOL, "v4.channel.k8s.io, v5.channel.k8s.io".parse().unwrap());
        assert!(!offers(&headers, "v5.channel.k8s.io"), "it is no WebSocket");
        headers.insert(header::UPGRADE, "WebSocket".parse().unwrap());
        assert!(offers(&headers, "v5.channel.k8s.io") && offers(&headers, "v4.channel.k8s.io"));
        assert!(!offers(&headers, "channel.k8s.io"));
    }
}
