//! The node's own API under load, and with clients that mean no good: nobody is held up, and nothing is left of them.

use std::fs;
use std::time::Duration;

use testkit::fake::LogStream;
use testkit::pod::pod;
use testkit::tls::TlsClient;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::port::{body, line, started};
use crate::port_rig::{KNOWN_MAY, Port, echo};
use crate::rig::{DEADLINE, Rig};

const FOLLOWERS: usize = 200;
const STREAMS: usize = 50;
/// Descriptors that berth has now and then for things of its own.
const OWN_FILES: usize = 8;
/// What of the memory for so many connections may stay, in KiB: the allocator keeps some for the next ones.
const KEPT_MEMORY: usize = 64 << 10;
/// Threads of calls that block. They stay for 10 s, and are taken in turn: as many stay as there are calls in that time.
const BLOCKING: usize = 12;
/// How long it may take until nothing is left.
const LEVELLED: Duration = Duration::from_secs(40);

/// What berth has of the machine.
#[derive(Clone, Copy, Debug)]
struct Level {
    files: usize,
    threads: usize,
    /// KiB.
    memory: usize,
}

impl Level {
    fn of(rig: &Rig) -> Self {
        let process = format!("/proc/{}", rig.pid());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        let files = fs::read_dir(format!("{process}/fd")).unwrap().count();
        Self { files, threads: number("Threads:"), memory: number("VmRSS:") }
    }
}

/// Requests that are being answered.
async fn under_way(rig: &Rig) -> f64 {
    let page = rig.ask("/metrics").await.unwrap();
    let lines = page.lines().filter(|line| line.starts_with("kubelet_http_inflight_requests{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Waits until berth has no more than it had `before`.
async fn until_level(rig: &Rig, before: Level) {
    let give_up = Instant::now() + LEVELLED;
    loop {
        let (now, answering) = (Level::of(rig), under_way(rig).await);
        let back = now.files <= before.files + OWN_FILES
            && now.threads <= before.threads + BLOCKING
            && now.memory <= before.memory + KEPT_MEMORY;
        if back && answering == 0.0 {
            return;
        }
        assert!(Instant::now() < give_up, "{before:?} has become {now:?}, with {answering} requests");
        sleep(Duration::from_millis(50)).await;
    }
}

/// A port that has had a client of each kind, with a pod that has a log.
async fn prepared() -> (Rig, Port, Level) {
    let (rig, port) = started(KNOWN_MAY).await;
    rig.runtime.set_streaming_url(&echo().await);
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    rig.runtime.write_log("web-node", "main", LogStream::Stdout, "one\n").unwrap();
    let mut followed = body(&port.known(), LOG).await;
    assert_eq!(line(&mut followed).await, "one\n");
    drop(port.stream(EXEC).await);
    let level = Level::of(&rig);
    (rig, port, level)
}

const LOG: &str = "/containerLogs/default/web-node/main?follow=true";
const EXEC: &str = "/exec/default/web-node/main?command=sh&input=1&output=1";

async fn says_back(stream: &mut (impl AsyncRead + tokio::io::AsyncWrite + Unpin), word: &[u8; 4]) {
    stream.write_all(word).await.unwrap();
    let mut answer = [0; 4];
    timeout(DEADLINE, stream.read_exact(&mut answer)).await.expect("the stream goes on").unwrap();
    assert_eq!(&answer, word);
}

/// What the server shows to a new client.
async fn certificate(client: &TlsClient) -> Vec<u8> {
    let stream = client.connect().await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn followers_and_streams_by_the_hundred_leave_nothing() {
    let (rig, port, before) = prepared().await;
    let client = port.known();
    let mut followers = Vec::new();
    for number in 0..FOLLOWERS {
        let client = if number % 2 == 0 { client.clone() } else { client.clone().http2() };
        let mut followed = body(&client, LOG).await;
        assert_eq!(line(&mut followed).await, "one\n");
        followers.push(followed);
    }
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let (mut stream, answer) = port.stream(EXEC).await;
        assert_eq!(answer, "HTTP/1.1 101 Switching Protocols");
        says_back(&mut stream, b"ping").await;
        streams.push(stream);
    }
    let loaded = Level::of(&rig);
    assert!(loaded.files >= before.files + FOLLOWERS + STREAMS, "{before:?}, {loaded:?}");
    assert_eq!(under_way(&rig).await, 250.0);

    // Meanwhile pods come and go, and so do certificates.
    rig.put(&pod("other"));
    rig.until_ready("other").await;
    let first = certificate(&client).await;
    port.renew(&rig);
    let renewed = async {
        while certificate(&client).await == first {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, renewed).await.expect("the new certificate is shown");
    rig.remove("other");
    rig.until_gone("other").await;
    assert_eq!(client.get("/healthz").await.unwrap().0, 200);
    rig.runtime.write_log("web-node", "main", LogStream::Stdout, "two\n").unwrap();
    for followed in &mut followers {
        assert_eq!(line(followed).await, "two\n");
    }
    for stream in &mut streams {
        says_back(stream, b"pong").await;
    }

    // Half of them go without a word, and the others when the log and the commands end.
    followers.truncate(FOLLOWERS / 2);
    streams.truncate(STREAMS / 2);
    rig.remove("web");
    rig.until_gone("web").await;
    for mut followed in followers {
        let rest = async { while let Some(Ok(_)) = http_body_util::BodyExt::frame(&mut followed).await {} };
        timeout(DEADLINE, rest).await.expect("the log ends");
    }
    for mut stream in streams {
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        timeout(DEADLINE, stream.read_to_end(&mut rest)).await.expect("the stream ends").unwrap();
    }
    until_level(&rig, before).await;
}

/// Whether the server gives the connection up.
async fn is_cut(mut stream: impl AsyncRead + Unpin) -> bool {
    let mut rest = Vec::new();
    // Reset or ended, either is an end.
    timeout(DEADLINE, stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn clients_that_say_nothing_nonsense_or_too_much_hold_up_nobody() {
    let (rig, port, before) = prepared().await;
    let client = port.known();
    let (mut cut, mut slow) = (Vec::new(), Vec::new());
    for _ in 0..40 {
        // Nothing, something that is no TLS, plain HTTP, and TLS that stops in the middle of its first message.
        for said in [&b""[..], &[0x16; 5000], b"GET /pods HTTP/1.1\r\n\r\n", &[0x16, 3, 1, 2, 0, 1, 0]] {
            let mut stream = TcpStream::connect(("127.0.0.1", port.number)).await.unwrap();
            stream.write_all(said).await.unwrap();
            cut.push(stream);
        }
        // Whoever has agreed on TLS has longer, and sends its head byte by byte. What ends that is tested in `https`.
        let mut stream = client.connect().await.unwrap();
        stream.write_all(b"GET /pods HTTP/1.1\r\nx-head: x").await.unwrap();
        slow.push(stream);
        let mut newer = client.clone().http2().connect().await.unwrap();
        newer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        slow.push(newer);
    }
    rig.put(&pod("other"));
    rig.until_ready("other").await;
    let long = "x".repeat(60 << 10);
    for (path, headers, status) in [
        ("/healthz".to_owned(), Vec::new(), 200),
        ("/healthz".to_owned(), vec![("x-a", &*long), ("x-b", &*long), ("x-c", &*long)], 431),
        (format!("/exec/default/web-node/main?command={long}"), Vec::new(), 400),
    ] {
        assert_eq!(
            client.ask("GET", &path, &headers).await.unwrap().0,
            status,
            "{} bytes of path",
            path.len()
        );
    }
    let mut stream = client.connect().await.unwrap();
    let longer = format!("GET /logs/{long}{long} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(longer.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 414");
    drop(stream);
    for stream in &mut slow {
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
    }
    for stream in cut {
        assert!(is_cut(stream).await);
    }
    drop(slow);
    until_level(&rig, before).await;
    rig.remove("other");
    rig.until_gone("other").await;
    rig.assert_proper();
}

#[tokio::test]
async fn no_path_leads_out_of_where_it_begins() {
    let (rig, port, _) = prepared().await;
    let client = port.known();
    for (method, path, status) in [
        ("GET", "/logs/../../etc/passwd", 400),
        ("GET", "/logs/..%2f..%2fetc%2fpasswd", 400),
        ("GET", "/logs/%2e%2e/%2e%2e/etc/passwd", 400),
        ("GET", "/logs/containers/..%2F..%2F..%2Fetc/passwd", 400),
        ("GET", "/logs/%252e%252e/%252e%252e/etc/passwd", 404),
        ("GET", "/logs//etc/passwd", 404),
        ("GET", "/logs/%2fetc%2fpasswd", 404),
        ("GET", "/logs/a%00b", 400),
        ("GET", "/logs/%ff%fe", 400),
        ("GET", "/containerLogs/default/web-node/..%2f..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/containerLogs/default/..%2fweb-node/main", 404),
        ("GET", "/containerLogs/..%2fdefault/web-node/main", 404),
        ("GET", "/containerLogs/default/web-node/%2e%2e", 404),
        ("GET", "/containerLogs/default/x/../web-node/main", 404),
        ("POST", "/checkpoint/default/web-node/..%2f..%2fmain", 404),
        ("POST", "/checkpoint/default/..%2fweb-node/main", 404),
    ] {
        let (answered, text) = client.ask(method, path, &[]).await.unwrap();
        assert_eq!(answered, status, "{path}: {text}");
        assert!(!text.contains("root:"), "{path}: {text}");
    }
    assert!(!rig.root().join("checkpoints").exists());
}
