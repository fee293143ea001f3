//! An HTTP server that probes ask, so that the bench knows at which instant a probe was answered what.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// How long a probe may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest request that is read, in bytes.
const LONGEST: usize = 8 << 10;

/// What is answered, and since when.
struct Turn {
    is_well: bool,
    answered: Option<Instant>,
}

/// The server. It ends when it is dropped.
pub(crate) struct Responder {
    port: u16,
    turn: watch::Sender<Turn>,
    accepting: JoinHandle<()>,
}

impl Responder {
    /// Listens on 127.0.0.1, and says that all is well.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("listen for probes")?;
        let port = listener.local_addr().context("listen for probes")?.port();
        let (turn, _) = watch::channel(Turn { is_well: true, answered: None });
        let answering = turn.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let turn = answering.clone();
                tokio::spawn(async move { answer(stream, &turn).await });
            }
        });
        Ok(Self { port, turn, accepting })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on says that all is well, or that it is not.
    pub(crate) fn say(&self, is_well: bool) {
        self.turn.send_replace(Turn { is_well, answered: None });
    }

    /// Waits for the first answer since [`Responder::say`], and returns when it was written.
    pub(crate) async fn answered(&self) -> Result<Instant> {
        let mut turn = self.turn.subscribe();
        let answered = timeout(PATIENCE, turn.wait_for(|turn| turn.answered.is_some())).await;
        let answered = answered.context("no probe comes")?.context("nobody answers probes")?;
        answered.answered.context("no probe comes")
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Answers one request; a connection that breaks is none.
async fn answer(mut stream: TcpStream, turn: &watch::Sender<Turn>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read_buf(&mut request).await;
        if !matches!(read, Ok(1..)) || request.len() > LONGEST {
            return;
        }
    }
    let mut is_well = true;
    // Noted before it is written: nobody has it earlier.
    turn.send_modify(|turn| {
        is_well = turn.is_well;
        turn.answered.get_or_insert_with(Instant::now);
    });
    let status = if is_well { "200 OK" } else { "500 Internal Server Error" };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(responder: &Responder) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, responder.port())).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_first_answer_of_each_turn_is_noted() {
        let responder = Responder::start().await.unwrap();
        assert!(ask(&responder).await.starts_with("HTTP/1.1 200 "));
        let well = responder.answered().await.unwrap();
        responder.say(false);
        assert!(responder.turn.borrow().answered.is_none());
        assert!(ask(&responder).await.starts_with("HTTP/1.1 500 "));
        let ill = responder.answered().await.unwrap();
        assert!(ill > well);
        assert!(ask(&responder).await.starts_with("HTTP/1.1 500 "));
        assert_eq!(responder.answered().await.unwrap(), ill);
    }
}
