//! Streams that are passed on: a node of the test's own, which upgrades and then waits.

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::{StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;

use crate::nodes::{PODS, create_pod, serve};
use crate::rig::{Running, client, settings, start_with};

/// A node whose streams end when their client does; each tells what it was told.
fn listening() -> (Router, mpsc::Receiver<Vec<u8>>) {
    let (tell, told) = mpsc::channel(9);
    let upgrade = move |mut request: Request| {
        let tell = tell.clone();
        async move {
            tokio::spawn(async move {
                let mut stream = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
                let mut words = Vec::new();
                let _ = stream.read_to_end(&mut words).await;
                tell.send(words).await.unwrap();
            });
            let switched = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
            let switched = switched.header(header::CONNECTION, "Upgrade").header(header::UPGRADE, "SPDY/3.1");
            switched.body(axum::body::Body::empty()).unwrap()
        }
    };
    (Router::new().fallback(upgrade), told)
}

/// A server whose streams may be silent for `idle`, its node, and a stream to a container.
async fn streaming(
    dir: &std::path::Path,
    idle: Duration,
    router: Router,
) -> (Running, JoinHandle<()>, TlsStream<TcpStream>) {
    let mut settings = settings(dir);
    settings.stream_idle = idle;
    let running = start_with(&settings).await;
    let node = serve(&running, dir, &running.node, router).await;
    create_pod(&running, dir, "p").await;
    let tcp = TcpStream::connect(running.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = client(dir, Some("admin")).connect(name, tcp).await.unwrap();
    let request = format!(
        "POST {PODS}/p/exec?command=sh&stdin=1 HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\n\
         upgrade: SPDY/3.1\r\ncontent-length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    (running, node, stream)
}

#[tokio::test]
async fn a_client_that_is_gone_leaves_no_stream() {
    let dir = tempfile::tempdir().unwrap();
    let (router, mut told) = listening();
    let (running, node, mut stream) = streaming(dir.path(), Duration::from_secs(3600), router).await;
    stream.write_all(b"words").await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    assert_eq!(told.recv().await.unwrap(), b"words");
    running.stop().await;
    node.await.unwrap();
}

#[tokio::test]
async fn a_silent_stream_ends_at_both_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (router, mut told) = listening();
    let (running, node, mut stream) = streaming(dir.path(), Duration::from_millis(50), router).await;
    // TLS may be cut off without a word.
    let _ = stream.read_to_end(&mut Vec::new()).await;
    told.recv().await.unwrap();
    running.stop().await;
    node.await.unwrap();
}

#[tokio::test]
async fn a_stream_ends_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let (router, mut told) = listening();
    let (running, node, mut stream) = streaming(dir.path(), Duration::from_secs(3600), router).await;
    running.stop().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
    told.recv().await.unwrap();
    node.await.unwrap();
}
