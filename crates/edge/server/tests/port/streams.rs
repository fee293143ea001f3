//! Streams between clients and the runtime.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::rig::{DEADLINE, Door, Rig};
use crate::runtime::read_head;

/// Begins a stream, and returns the head of the answer.
async fn begin(rig: &Rig, method: &str, path: &str) -> (TlsStream<TcpStream>, String) {
    let mut stream = rig.known("admin").connect().await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\n\
         x-stream-protocol-version: v4.channel.k8s.io\r\nauthorization: Bearer secret\r\ncontent-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    (stream, head)
}

#[tokio::test]
async fn bytes_go_both_ways_until_both_have_ended() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    for (method, path, asked) in [
        (
            "POST",
            "/exec/default/echo/app?command=sh&command=-c&command=a+b&output=1&error=1",
            "exec [\"sh\", \"-c\", \"a b\"] out+err default echo None app",
        ),
        (
            "GET",
            "/exec/default/echo/u-1/app?input=1&output=1&error=1&tty=1",
            "exec [] in+out+tty default echo Some(\"u-1\") app",
        ),
        ("POST", "/attach/default/echo/app?input=1", "attach in default echo None app"),
        ("POST", "/portForward/default/echo", "port_forward [] default echo None "),
        ("POST", "/portForward/default/echo/u-1", "port_forward [] default echo Some(\"u-1\") "),
    ] {
        let (mut stream, head) = begin(&rig, method, path).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("x-stream-protocol-version: v4.channel.k8s.io\r\n"), "{head}");
        stream.write_all(b"ping").await.unwrap();
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"ping");
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
        assert_eq!(rest, b"bye", "the runtime may finish what it has to say");
        assert_eq!(rig.agent.asked.lock().unwrap().last().unwrap(), asked);
        let heads = rig.runtime.heads.lock().unwrap();
        let last = heads.last().unwrap();
        assert!(last.starts_with(&format!("{method} /echo?x=1 HTTP/1.1\r\n")), "{last}");
        assert!(last.contains("upgrade: SPDY/3.1\r\n") && !last.contains("secret"), "{last}");
    }
    rig.until_quiet().await;
}

#[tokio::test]
async fn what_the_runtime_says_at_once_is_not_lost() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    let (mut stream, _) = begin(&rig, "POST", "/exec/default/eager/app?output=1").await;
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"hello");
}

#[tokio::test]
async fn streams_that_do_not_begin() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    for (path, status, text) in [
        ("/exec/default/echo/app", 400, "at least 1 of"),
        ("/exec/default/none/app?output=1", 404, "pod does not exist"),
        ("/exec/default/refuses/app?output=1", 404, "no stream"),
        ("/exec/default/strange/app?output=1", 500, "invalid upgrade response: status code 200"),
        ("/exec/default/away/app?output=1", 500, "cannot be used"),
        ("/attach/default/busy/app?output=1", 429, "too many streams"),
    ] {
        let (mut stream, head) = begin(&rig, "POST", path).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {head}");
        if status == 429 {
            assert!(head.contains("retry-after: 60\r\n"), "{head}");
        }
        let length = head.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        assert!(String::from_utf8(body).unwrap().contains(text), "{path}");
    }
    let answer = rig.known("admin").ask("POST", "/exec/default/echo/app?output=1", &[]).await.unwrap();
    assert_eq!(answer, (400, "Upgrade request required".to_owned()));
    rig.until_quiet().await;
}

#[tokio::test]
async fn much_goes_through() {
    const PIECES: usize = 512;
    let rig = Rig::start(Door::AlwaysAllow).await;
    let (stream, _) = begin(&rig, "POST", "/exec/default/echo/app?input=1&output=1").await;
    let (mut read, mut write) = tokio::io::split(stream);
    let piece: Vec<u8> = (0..64 << 10).map(|byte: u32| byte.to_le_bytes()[0]).collect();
    let sent = piece.clone();
    let sending = tokio::spawn(async move {
        for _ in 0..PIECES {
            write.write_all(&sent).await.unwrap();
        }
        write.shutdown().await.unwrap();
        write
    });
    let mut received = vec![0; piece.len()];
    for _ in 0..PIECES {
        read.read_exact(&mut received).await.unwrap();
        assert!(received == piece);
    }
    let _write = sending.await.unwrap();
    let mut rest = Vec::new();
    read.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"bye");
}

#[tokio::test]
async fn silence_ends_a_stream() {
    let rig =
        Rig::with(Door::AlwaysAllow, |settings| settings.stream_idle = Duration::from_millis(200)).await;
    let (mut stream, _) = begin(&rig, "POST", "/exec/default/echo/app?input=1").await;
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty());
    rig.until_quiet().await;
}

#[tokio::test]
async fn a_client_that_goes_leaves_nothing_and_so_does_the_server() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(begin(&rig, "POST", "/exec/default/echo/app?input=1").await.0);
    }
    let inflight = "kubelet_http_inflight_requests{long_running=\"true\",method=\"POST\",path=\"exec\",server_type=\"readwrite\"}";
    assert_eq!(rig.metric(inflight), Some(50.0));
    assert_eq!(rig.runtime.open.load(SeqCst), 50);
    streams.truncate(10);
    let fewer = async {
        while rig.runtime.open.load(SeqCst) > 10 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, fewer).await.unwrap();

    rig.stop.cancel();
    rig.until_quiet().await;
}
