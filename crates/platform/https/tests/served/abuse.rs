//! Clients that take more than they should.

use std::time::Duration;

use https::{Limits, TlsPolicy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::rig::{DEADLINE, Rig};

/// So short that a test need not wait, and still longer than an honest client takes.
const SHORT: Duration = Duration::from_millis(300);

async fn is_cut(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> bool {
    let mut rest = Vec::new();
    // Reset or ended, either is an end.
    timeout(DEADLINE, stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn whoever_says_nothing_or_nonsense_is_cut_off() {
    let limits = Limits { handshake: SHORT, first_request: SHORT, idle: SHORT, ..Limits::default() };
    let rig = Rig::with(limits, TlsPolicy::default()).await;
    let mut mute = TcpStream::connect(rig.address).await.unwrap();
    let mut garbage = TcpStream::connect(rig.address).await.unwrap();
    garbage.write_all(&[0x16; 5000]).await.unwrap();
    let mut plain = TcpStream::connect(rig.address).await.unwrap();
    plain.write_all(b"GET /who HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    for stream in [&mut mute, &mut garbage, &mut plain] {
        assert!(is_cut(stream).await);
    }
    for client in [rig.client(None), rig.client(None).http2()] {
        let mut agreed = client.connect().await.unwrap();
        assert!(is_cut(&mut agreed).await, "no request ever came");
    }
    let mut slow = rig.client(None).connect().await.unwrap();
    slow.write_all(b"GET /who HTTP/1.1\r\nx-head").await.unwrap();
    assert!(is_cut(&mut slow).await, "the head never ended");
    let mut kept = rig.client(None).connect().await.unwrap();
    kept.write_all(b"GET /who HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, kept.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK") && answer.ends_with(b"nobody"), "nothing more was asked");
    assert_eq!(rig.client(None).get("/who").await.unwrap().0, 200);
}

#[tokio::test]
async fn heads_have_a_bound() {
    let rig = Rig::start().await;
    let long = "x".repeat(60 << 10);
    let client = rig.client(None);
    assert_eq!(client.ask("GET", "/who", &[("x-long", &long)]).await.unwrap().0, 200);
    let headers = [("x-a", &*long), ("x-b", &*long), ("x-c", &*long)];
    assert_eq!(client.ask("GET", "/who", &headers).await.unwrap().0, 431);
    // In HTTP/2 the answer is the same, or a reset.
    assert_ne!(client.http2().ask("GET", "/who", &headers).await.ok().map(|(status, _)| status), Some(200));
}

#[tokio::test]
async fn connections_have_a_bound_and_an_upgraded_one_counts() {
    let rig = Rig::with(Limits { connections: 1, ..Limits::default() }, TlsPolicy::default()).await;
    let mut one = rig.client(None).connect().await.unwrap();
    let head = b"GET /echo HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
    one.write_all(head).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(one.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    one.write_all(b"ping").await.unwrap();
    let mut word = [0; 4];
    one.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"ping");

    let client = rig.client(None);
    let second = tokio::spawn(async move { client.get("/who").await.unwrap().0 });
    one.write_all(b"pong").await.unwrap();
    one.read_exact(&mut word).await.unwrap();
    assert!(!second.is_finished(), "there is place for one");
    drop(one);
    assert_eq!(timeout(DEADLINE, second).await.unwrap().unwrap(), 200);
}
