//! WebSockets with protocols that the runtime does not know.

use futures::{SinkExt as _, StreamExt as _};
use http::Request;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::rig::{DEADLINE, Door, Rig};

async fn open(
    rig: &Rig,
    path: &str,
    protocols: &str,
) -> Result<WebSocketStream<TlsStream<TcpStream>>, Error> {
    let stream = rig.known("admin").connect().await.unwrap();
    let request = Request::get(format!("wss://localhost{path}"))
        .header("host", "localhost")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", protocols)
        .body(())
        .unwrap();
    let (socket, answer) = client_async(request, stream).await?;
    let chosen = answer.headers()["sec-websocket-protocol"].to_str().unwrap();
    assert!(protocols.split(", ").any(|offered| offered == chosen), "{chosen}");
    Ok(socket)
}

/// All that comes until the server says that it ends: for each channel what came over it.
async fn rest(socket: &mut WebSocketStream<TlsStream<TcpStream>>) -> [String; 4] {
    let mut channels: [Vec<u8>; 4] = Default::default();
    loop {
        let message = timeout(DEADLINE, socket.next()).await.expect("it ends").unwrap().unwrap();
        match message {
            Message::Binary(bytes) => channels[usize::from(bytes[0])].extend(&bytes[1..]),
            Message::Close(end) => {
                assert_eq!(end.expect("the end has a code").code, CloseCode::Normal);
                return channels.map(|bytes| String::from_utf8(bytes).unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
}

fn message(channel: u8, text: &str) -> Message {
    Message::binary([&[channel], text.as_bytes()].concat())
}

#[tokio::test]
async fn commands_are_translated() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    for (what, tty, seen, stderr) in [
        ("exec", "&error=1", r#"["error", "stderr", "stdin", "stdout"] [] 6"#, "oh"),
        ("attach", "&tty=1", r#"["error", "resize", "stdin", "stdout"] ["{\"Width\":1}"] 6"#, ""),
    ] {
        let path = format!("/{what}/default/spdy/app?input=1&output=1{tty}");
        let mut socket = open(&rig, &path, "v5.channel.k8s.io, v4.channel.k8s.io").await.unwrap();
        if stderr.is_empty() {
            socket.send(message(4, "{\"Width\":1}")).await.unwrap();
        }
        socket.send(message(0, "abc")).await.unwrap();
        socket.send(message(0, "def")).await.unwrap();
        socket.send(Message::binary(vec![255, 0])).await.unwrap();
        let [_, out, err, status] = rest(&mut socket).await;
        assert_eq!((out, err.as_str()), (format!("abcdef{seen}"), stderr));
        assert!(status.contains("NonZeroExitCode"), "{status}");
        drop(socket);
        let series = format!("kubelet_websocket_streaming_requests_total{{subresource=\"{what}\"}}");
        assert_eq!(rig.metric(&series), Some(1.0));
    }
    rig.until_quiet().await;
}

#[tokio::test]
async fn what_goes_wrong_is_told_as_a_status() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    for (pod, told) in [("refuses", "no stream"), ("away", "cannot be used"), ("strange", "200 OK")] {
        let path = format!("/exec/default/{pod}/app?output=1");
        let mut socket = open(&rig, &path, "v5.channel.k8s.io").await.unwrap();
        let [_, _, _, status] = rest(&mut socket).await;
        assert!(status.contains("\"status\":\"Failure\"") && status.contains(told), "{pod}: {status}");
    }
    // Before there is a WebSocket, the answer is one of HTTP.
    let refused = open(&rig, "/exec/default/none/app?output=1", "v5.channel.k8s.io").await;
    assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 404));
    rig.until_quiet().await;
}

#[tokio::test]
async fn a_client_that_goes_takes_its_command_along() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    let path = "/exec/default/spdy/app?input=1&output=1";
    let mut socket = open(&rig, path, "v5.channel.k8s.io").await.unwrap();
    socket.send(message(0, "abc")).await.unwrap();
    while !matches!(socket.next().await, Some(Ok(Message::Binary(bytes))) if bytes.ends_with(b"abc")) {}
    drop(socket);
    rig.until_quiet().await;
}

#[tokio::test]
async fn ports_are_tunnelled() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    let protocol = "SPDY/3.1+portforward.k8s.io";
    let mut socket = open(&rig, "/portForward/default/echo", protocol).await.unwrap();
    for _ in 0..3 {
        socket.send(Message::binary(&b"frames"[..])).await.unwrap();
        let answer = timeout(DEADLINE, socket.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(answer.into_data(), "frames");
    }
    let heads = rig.runtime.heads.lock().unwrap().clone();
    assert!(
        heads[0].starts_with("POST /echo?x=1 ") && heads[0].contains("upgrade: SPDY/3.1\r\n"),
        "{}",
        heads[0]
    );
    assert!(heads[0].contains("x-stream-protocol-version: portforward.k8s.io\r\n"), "{}", heads[0]);
    socket.close(None).await.unwrap();
    rig.until_quiet().await;
    let refused = open(&rig, "/portForward/default/refuses", protocol).await;
    assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 404));
}

#[tokio::test]
async fn other_protocols_and_a_gate_that_is_off_leave_it_to_the_runtime() {
    let rig = Rig::with(Door::AlwaysAllow, |settings| settings.websockets = false).await;
    for protocol in ["v5.channel.k8s.io", "v4.channel.k8s.io"] {
        let refused = open(&rig, "/exec/default/refuses/app?output=1", protocol).await;
        assert!(matches!(refused, Err(Error::Http(answer)) if answer.status() == 404), "{protocol}");
        let heads = rig.runtime.heads.lock().unwrap();
        assert!(heads.last().unwrap().contains(&format!("sec-websocket-protocol: {protocol}\r\n")));
    }
}
