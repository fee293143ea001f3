//! Streams to containers through the node's own API, over WebSockets: the runtime has a server of its own for old
//! protocols, and is spoken to in SPDY for the newest one.

use futures::{SinkExt, StreamExt};
use http::Request;
use serde_json::Value;
use testkit::pod::pod;
use testkit::tls::TlsClient;
use tokio::time::timeout;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::port::served;
use crate::rig::{FOREVER, deadline};

/// The query of a shell command with all streams.
fn shell(script: &str) -> String {
    let script: String = script.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("command=sh&command=-c&command={script}&input=1&output=1&error=1")
}

/// What comes over each channel, until the server ends; `input` is sent first, and then ended.
async fn session(client: &TlsClient, path: &str, protocol: &str, input: Option<&[u8]>) -> [Vec<u8>; 5] {
    let request = Request::get(format!("wss://localhost{path}"))
        .header("host", "localhost")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", protocol)
        .body(())
        .unwrap();
    let stream = client.connect().await.unwrap();
    let (mut socket, _) = client_async(request, stream).await.unwrap();
    if let Some(input) = input {
        socket.send(Message::binary([&[0], input].concat())).await.unwrap();
        socket.send(Message::binary(vec![255, 0])).await.unwrap();
    }
    let mut channels: [Vec<u8>; 5] = Default::default();
    loop {
        match timeout(deadline(), socket.next()).await.expect("it ends") {
            Some(Ok(Message::Binary(bytes))) => channels[usize::from(bytes[0])].extend(&bytes[1..]),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return channels,
            Some(Ok(_)) => {}
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn real_commands_run_over_websockets() {
    let (mut rig, client) = served().await;
    rig.put("web", &pod("web").container("main", &FOREVER));
    rig.until_ready("web").await;
    let path = |query: &str| format!("/exec/default/{}/main?{query}", rig.full("web"));

    let translated = "v5.channel.k8s.io";
    let mixed = path(&shell("cat; echo oh >&2; exit 3"));
    let [_, out, err, status, _] = session(&client, &mixed, translated, Some(b"hello")).await;
    assert_eq!((text(&out), text(&err)), ("hello".to_owned(), "oh\n".to_owned()));
    let status: Value = serde_json::from_slice(&status).unwrap();
    assert_eq!(
        (&status["reason"], &status["details"]["causes"][0]["message"]),
        (&"NonZeroExitCode".into(), &"3".into())
    );

    let much = path("command=head&command=-c&command=30000000&command=/dev/zero&output=1");
    let [_, out, _, status, _] = session(&client, &much, translated, None).await;
    assert_eq!((out.len(), text(&status).contains("Success")), (30_000_000, true), "{}", text(&status));

    let terminal = path("command=tty&output=1&tty=1");
    let [_, out, ..] = session(&client, &terminal, translated, None).await;
    assert!(text(&out).starts_with("/dev/"), "{}", text(&out));

    // What the runtime's own server knows is passed on as it is.
    let plain = path("command=echo&command=hi&output=1");
    let [_, out, ..] = session(&client, &plain, "v4.channel.k8s.io", None).await;
    assert_eq!(text(&out), "hi\n");
    rig.finish().await;
}
