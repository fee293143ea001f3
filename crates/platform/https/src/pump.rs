//! Copying bytes between two connections.

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::time::{Instant, sleep, sleep_until};

/// How much is copied at once, in bytes; each stream takes twice this.
const PIECE: usize = 32 * 1024;
/// The client has ended: the other side may go on as long as it is never silent for longer.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// The other side has ended: a client has so long to read what is on the way, and to close the connection.
pub const CLOSING: Duration = Duration::from_secs(15 * 60);

/// Copies between a client (`front`) and whom it was passed on to (`back`). The end of one is passed on to the other, which
/// may still finish what it has to say. Returns when both have ended, when one is broken, or when neither said anything for
/// `idle`.
pub async fn pump<A, B>(front: A, back: B, idle: Duration)
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let said = Said::new();
    let ((front_read, front_write), (back_read, back_write)) = (split(front), split(back));
    let mut up = pin!(forward(front_read, back_write, &said));
    let mut down = pin!(copy(back_read, front_write, &said));
    tokio::select! {
        ended = &mut up => if ended.is_ok() {
            tokio::select! { _ = down => {}, () = said.silence(idle.min(LAST_WORDS)) => {} }
        },
        // To close the connection while the client still sends something, such as pings, would have the kernel throw away
        // what the client has not read yet. So it is the client who closes it.
        ended = &mut down => if ended.is_ok() {
            tokio::select! { _ = up => {}, () = sleep(idle.min(CLOSING)) => {} }
        },
        () = said.silence(idle) => {}
    }
}

/// Copies what the client says. When nobody listens any more, what it says is dropped until it ends.
async fn forward(
    mut from: impl AsyncRead + Unpin,
    to: impl AsyncWrite + Unpin,
    said: &Said,
) -> io::Result<()> {
    if copy(&mut from, to, said).await.is_err() {
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(())
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    said: &Said,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        said.now();
        to.write_all(&piece[..read]).await?;
        to.flush().await?;
        said.now();
    }
}

/// When something was said last.
#[derive(Debug)]
pub struct Said {
    begun: Instant,
    /// Milliseconds since then.
    last: AtomicU64,
}

impl Default for Said {
    fn default() -> Self {
        Self::new()
    }
}

impl Said {
    /// Just now.
    #[must_use]
    pub fn new() -> Self {
        Self { begun: Instant::now(), last: AtomicU64::new(0) }
    }

    /// Takes note that something is said.
    pub fn now(&self) {
        self.last.store(u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Returns when nothing was said for so long, from now on.
    pub async fn silence(&self, long: Duration) {
        let from = Instant::now();
        loop {
            let last = self.begun + Duration::from_millis(self.last.load(Relaxed));
            let due = last.max(from) + long;
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};
    use tokio::task::JoinHandle;

    use super::*;

    const IDLE: Duration = Duration::from_secs(3600);

    fn pumped() -> (DuplexStream, DuplexStream, JoinHandle<()>) {
        let ((client, front), (runtime, back)) = (duplex(1000), duplex(1000));
        (client, runtime, tokio::spawn(pump(front, back, IDLE)))
    }

    async fn rest(stream: &mut DuplexStream) -> Vec<u8> {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        rest
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_one_side_leaves_the_other_its_say() {
        let (mut client, mut runtime, task) = pumped();
        let much = vec![7; 300_000];
        client.write_all(b"input").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut runtime).await, b"input");
        let sending = async {
            runtime.write_all(&much).await.unwrap();
            runtime.shutdown().await.unwrap();
        };
        let ((), received) = tokio::join!(sending, rest(&mut client));
        assert_eq!(received, much);
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_and_words_do_not() {
        let (mut client, mut runtime, task) = pumped();
        let begun = Instant::now();
        for _ in 0..3 {
            sleep(IDLE - Duration::from_secs(1)).await;
            runtime.write_all(b"x").await.unwrap();
            client.read_u8().await.unwrap();
        }
        let last = begun.elapsed();
        task.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), (last + IDLE).as_secs());
        assert!(rest(&mut client).await.is_empty() && rest(&mut runtime).await.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_gets_all_and_closes() {
        let (mut client, mut runtime, task) = pumped();
        runtime.write_all(b"last words").await.unwrap();
        drop(runtime);
        let begun = Instant::now();
        for _ in 0..5 {
            client.write_all(b"ping").await.unwrap();
            sleep(Duration::from_secs(60)).await;
        }
        assert_eq!(rest(&mut client).await, b"last words");
        assert!(!task.is_finished());
        drop(client);
        task.await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 300);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_neither_reads_nor_closes_is_cut_off() {
        let (client, runtime, task) = pumped();
        drop(runtime);
        let begun = Instant::now();
        task.await.unwrap();
        assert_eq!(begun.elapsed(), CLOSING);
        drop(client);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_is_gone_does_not_hold_a_silent_runtime() {
        let (client, runtime, task) = pumped();
        let begun = Instant::now();
        drop(client);
        task.await.unwrap();
        assert_eq!(begun.elapsed(), LAST_WORDS);
        drop(runtime);
    }
}
