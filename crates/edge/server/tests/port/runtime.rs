//! A runtime's streaming server that is made up: it says back what it is told.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Default)]
pub(crate) struct Runtime {
    pub(crate) url: String,
    /// Heads of requests, as they came.
    pub(crate) heads: Arc<Mutex<Vec<String>>>,
    /// Streams that are open.
    pub(crate) open: Arc<AtomicUsize>,
}

impl Runtime {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let runtime = Self { url: format!("http://{}", listener.local_addr().unwrap()), ..Self::default() };
        let accepting = runtime.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let runtime = accepting.clone();
                tokio::spawn(async move {
                    runtime.open.fetch_add(1, SeqCst);
                    let _ = runtime.serve(stream).await;
                    runtime.open.fetch_sub(1, SeqCst);
                });
            }
        });
        runtime
    }

    async fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let head = read_head(&mut stream).await?;
        self.heads.lock().unwrap().push(head.clone());
        let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: SPDY/3.1\r\n\
                      x-stream-protocol-version: v4.channel.k8s.io\r\n\r\n";
        match head.split(['/', '?']).nth(1).unwrap() {
            "echo" => {
                stream.write_all(switch.as_bytes()).await?;
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await?;
                // The client has ended; there is a last word.
                write.write_all(b"bye").await
            }
            // Says something before it is asked, in one piece with the head.
            "eager" => stream.write_all(format!("{switch}hello").as_bytes()).await,
            "spdy" => {
                stream.write_all(switch.as_bytes()).await?;
                crate::spdy::run(stream).await
            }
            "refuses" => {
                stream
                    .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\nx-why: gone\r\n\r\nno stream")
                    .await
            }
            _ => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await,
        }
    }
}

/// Reads up to the empty line.
pub(crate) async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap())
}
