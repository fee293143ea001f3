//! Bytes that are copied out of a container and into it, as `kubectl cp` has it done: through the agent, and with the same
//! client from the runtime directly.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cri::{Runtime, StreamOptions};
use http::Uri;
use tokio::net::TcpStream;
use tokio::time::Instant;
use types::ContainerId;

use super::figures::{Copied, Through};
use super::stream::Stream;
use crate::figures::{Spread, millicores};
use crate::pods::CONTAINER;
use crate::process;
use crate::served::Served;

/// What runtimes know over WebSockets, and agents therefore only pass on.
const KNOWN: &str = "v4.channel.k8s.io";
/// What API servers speak to nodes since Kubernetes 1.36, and agents have to translate for runtimes (KEP-4006).
const NEWEST: &str = "v5.channel.k8s.io";

/// How often each is done. They take turns, so that what else the machine does is in all of them.
const TURNS: usize = 3;

/// Which way the bytes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    /// Out of the container.
    Out,
    /// Into it.
    Into,
}

impl Direction {
    /// The command that writes or reads so many MiB, and then ends: the older protocol cannot say that input has. It fails
    /// if there was less.
    fn command(self, mib: u64) -> Vec<String> {
        let script = match self {
            Self::Out => format!("dd if=/dev/zero bs=1M count={mib}"),
            // containerd ends the input of a command that closes its output (containerd/containerd#13934), as `dd` does
            // here; the shell keeps it open.
            Self::Into => format!(
                "dd of=/dev/null bs=1M count={mib} iflag=fullblock 2>&1 | grep -q '^{mib}+0 records in'"
            ),
        };
        ["sh", "-c"].into_iter().map(str::to_owned).chain([script]).collect()
    }

    /// The same as the query of a request to an agent.
    fn query(self, mib: u64) -> String {
        let escaped = |word: String| word.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
        let words = self.command(mib).into_iter().map(|word| format!("command={}&", escaped(word)));
        let stream = match self {
            Self::Out => "output=1",
            Self::Into => "input=1",
        };
        words.chain([stream.to_owned()]).collect()
    }

    fn streams(self) -> StreamOptions {
        let (stdin, stdout) = (self == Self::Into, self == Self::Out);
        StreamOptions { stdin, stdout, ..StreamOptions::default() }
    }

    /// What goes in, and what comes out.
    fn bytes(self, mib: u64) -> (u64, u64) {
        match self {
            Self::Out => (0, mib << 20),
            Self::Into => (mib << 20, 0),
        }
    }
}

/// A container of an agent's, and how much is copied.
pub(super) struct Copying<'a> {
    served: &'a Served,
    runtime: &'a Runtime,
    pod: &'a str,
    container: ContainerId,
    mib: u64,
}

impl<'a> Copying<'a> {
    /// Finds the container of `pod`, which runs.
    pub(super) async fn find(
        served: &'a Served,
        runtime: &'a Runtime,
        pod: &'a str,
        mib: u64,
    ) -> Result<Self> {
        let containers = runtime.list_containers(None).await?;
        let found = containers.into_iter().find(|(of, _)| &*of.name.name == pod);
        let (_, container) = found.with_context(|| format!("{pod} has no container"))?;
        Ok(Self { served, runtime, pod, container: container.id, mib })
    }

    /// Copies in one direction, in each way.
    pub(super) async fn measure(&self, direction: Direction) -> Result<Copied> {
        let rss_before_kib = self.served.memory_kib("VmRSS")?;
        let (mut direct, mut known, mut newest) = (Vec::new(), Watch::default(), Some(Watch::default()));
        for _ in 0..TURNS {
            direct.push(self.direct(direction).await.context("copy from the runtime directly")?);
            known.turn(self, direction, KNOWN).await?;
            // Agents before Kubernetes 1.36 pass this one on too, and the runtime refuses it.
            if let Some(watch) = &mut newest
                && let Err(error) = watch.turn(self, direction, NEWEST).await
            {
                eprintln!("bench: {error:#}");
                newest = None;
            }
        }
        Ok(Copied {
            mib: self.mib,
            direct: Spread::of(direct),
            rss_before_kib,
            known: known.figures(),
            newest: newest.map(Watch::figures),
        })
    }

    /// How long it takes from the runtime, from the request for a stream to the command's end.
    async fn direct(&self, direction: Direction) -> Result<Duration> {
        let begun = Instant::now();
        let command = direction.command(self.mib);
        let url = self.runtime.exec(&self.container, command, direction.streams()).await?;
        // The URL has a token in it, and is not for the terminal.
        let url: Uri = url.parse().context("read the runtime's URL of a stream")?;
        let authority = url.authority().context("the runtime's URL of a stream has no host")?;
        let path = url.path_and_query().context("the runtime's URL of a stream has no path")?;
        let connection = TcpStream::connect(authority.as_str()).await.context("connect to the runtime")?;
        connection.set_nodelay(true)?;
        let stream = Stream::open(connection, &format!("ws://{authority}{path}"), KNOWN).await?;
        self.finish(stream, direction).await?;
        Ok(begun.elapsed())
    }

    /// The same through the agent.
    async fn through(&self, direction: Direction, protocol: &'static str) -> Result<Duration> {
        let begun = Instant::now();
        let connection = self.served.port.stream().await?;
        let path = format!("exec/default/{}/{CONTAINER}?{}", self.pod, direction.query(self.mib));
        let stream = Stream::open(connection, &format!("wss://localhost/{path}"), protocol).await?;
        self.finish(stream, direction).await?;
        Ok(begun.elapsed())
    }

    async fn finish<S>(&self, stream: Stream<S>, direction: Direction) -> Result<()>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let (input, output) = direction.bytes(self.mib);
        let written = stream.run(input).await?;
        ensure!(written == output, "the command wrote {output} bytes, and {written} came");
        Ok(())
    }
}

/// What the agent does meanwhile.
#[derive(Default)]
struct Watch {
    took: Vec<Duration>,
    used: Duration,
    rss_peak_kib: u64,
}

impl Watch {
    async fn turn(
        &mut self,
        copying: &Copying<'_>,
        direction: Direction,
        protocol: &'static str,
    ) -> Result<()> {
        let served = copying.served;
        process::forget_peak(served.pid)?;
        let before = served.cpu_time()?;
        let took = copying.through(direction, protocol).await;
        self.took.push(took.with_context(|| format!("copy through the agent with {protocol}"))?);
        self.used += served.cpu_time()?.saturating_sub(before);
        self.rss_peak_kib = self.rss_peak_kib.max(served.memory_kib("VmHWM")?);
        Ok(())
    }

    fn figures(self) -> Through {
        Through {
            millicores: millicores(self.used, self.took.iter().sum()),
            took: Spread::of(self.took),
            rss_peak_kib: self.rss_peak_kib,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_asked_of_agents_and_runtimes() {
        assert_eq!(Direction::Out.command(64), ["sh", "-c", "dd if=/dev/zero bs=1M count=64"]);
        let query = Direction::Into.query(1);
        assert!(query.starts_with("command=%73%68&command=%2D%63&command=%64%64%20"), "{query}");
        assert!(query.ends_with("%69%6E%27&input=1"), "{query}");
        for direction in [Direction::Out, Direction::Into] {
            let StreamOptions { stdin, stdout, stderr, tty } = direction.streams();
            assert!(stdin != stdout && !stderr && !tty);
            let (input, output) = direction.bytes(2);
            assert_eq!((input, output), if stdin { (2 << 20, 0) } else { (0, 2 << 20) });
        }
    }
}
