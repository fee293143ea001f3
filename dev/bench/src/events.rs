//! containerd's own events, with the time at which each was heard: the yardstick that no node agent has a part in.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::containerd::Containerd;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(240);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A sandbox or container was created.
    Created,
    /// Its process runs.
    Started,
    /// Its process has ended and was waited for.
    Ended,
    /// It was removed.
    Removed,
}

/// One event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: Instant,
    pub(crate) kind: Kind,
    /// The sandbox's or container's id.
    pub(crate) id: String,
    /// The process, of [`Kind::Started`].
    pub(crate) pid: i32,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    container_id: String,
    #[serde(default)]
    id: String,
    #[serde(default)]
    pid: i32,
}

impl Event {
    /// Reads `<time> k8s.io /tasks/start {"container_id":"…","pid":7}`. `None` for what is of no interest.
    fn parse(line: &str, at: Instant) -> Option<Self> {
        let (head, body) = line.split_once('{')?;
        let kind = match head.split_whitespace().last()? {
            "/containers/create" => Kind::Created,
            "/tasks/start" => Kind::Started,
            "/tasks/delete" => Kind::Ended,
            "/containers/delete" => Kind::Removed,
            _ => return None,
        };
        let body: Body = serde_json::from_str(&format!("{{{body}")).ok()?;
        let id = if body.container_id.is_empty() { body.id } else { body.container_id };
        Some(Self { at, kind, id, pid: body.pid })
    }
}

/// Everything that was heard since the beginning.
pub(crate) struct Events {
    heard: watch::Receiver<Vec<Event>>,
    _ctr: Child,
}

impl Events {
    /// Listens to containerd. Returns when it is heard.
    pub(crate) async fn listen(containerd: &Containerd) -> Result<Self> {
        let mut ctr = Command::new("ctr")
            .arg("--address")
            .arg(containerd.instance().socket())
            .args(["--namespace", "k8s.io", "events"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start ctr events")?;
        let mut lines = BufReader::new(ctr.stdout.take().context("ctr has no output")?).lines();
        // A subscription is not acknowledged: things are made to happen until one of them is heard.
        let mut number = 0;
        loop {
            let label = format!("bench={number}");
            containerd.ctr(&["namespaces", "label", "k8s.io", &label]).await?;
            if timeout(Duration::from_millis(100), lines.next_line()).await.is_ok() {
                break;
            }
            number += 1;
            if number > 100 {
                bail!("ctr events is silent");
            }
        }
        let (sender, heard) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(event) = Event::parse(&line, Instant::now()) {
                    sender.send_modify(|events| events.push(event));
                }
            }
        });
        Ok(Self { heard, _ctr: ctr })
    }

    /// How many events there are so far: where a measurement begins.
    pub(crate) fn mark(&self) -> usize {
        self.heard.borrow().len()
    }

    /// Waits until the events since `mark` are as wanted, and returns them.
    pub(crate) async fn until(
        &self,
        what: &str,
        mark: usize,
        wanted: impl Fn(&[Event]) -> bool,
    ) -> Result<Vec<Event>> {
        let mut heard = self.heard.clone();
        let waiting = heard.wait_for(|events| wanted(&events[mark..]));
        let events = timeout(PATIENCE, waiting)
            .await
            .with_context(|| format!("{what}: not within {} s", PATIENCE.as_secs()))?
            .context("ctr events has ended")?;
        Ok(events[mark..].to_vec())
    }

    /// Waits until `count` things of a kind have happened since `mark`, and returns them.
    pub(crate) async fn count(
        &self,
        what: &str,
        mark: usize,
        kind: Kind,
        count: usize,
    ) -> Result<Vec<Event>> {
        let events = self.until(what, mark, |events| number(events, kind) >= count).await?;
        Ok(events.into_iter().filter(|event| event.kind == kind).collect())
    }

    /// Waits until no process runs in any container, and returns since when.
    pub(crate) async fn nothing_runs(&self) -> Result<Instant> {
        self.balanced("nothing runs", Kind::Started, Kind::Ended).await
    }

    /// Waits until there are no sandboxes and containers, and returns since when.
    pub(crate) async fn nothing_exists(&self) -> Result<Instant> {
        self.balanced("nothing is left in the runtime", Kind::Created, Kind::Removed).await
    }

    async fn balanced(&self, what: &str, more: Kind, less: Kind) -> Result<Instant> {
        let events = self.until(what, 0, |events| number(events, more) == number(events, less)).await?;
        let last = events.iter().rev().find(|event| event.kind == less);
        Ok(last.map_or_else(Instant::now, |event| event.at))
    }
}

fn number(events: &[Event], kind: Kind) -> usize {
    events.iter().filter(|event| event.kind == kind).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_of_ctr_are_read() {
        let parse =
            |line: &str| Event::parse(line, Instant::now()).map(|event| (event.kind, event.id, event.pid));
        let time = "2026-01-02 03:04:05.678 +0000 UTC k8s.io";
        assert_eq!(
            parse(&format!(r#"{time} /tasks/start {{"container_id":"c","pid":7}}"#)),
            Some((Kind::Started, "c".to_owned(), 7))
        );
        assert_eq!(
            parse(&format!(r#"{time} /containers/delete {{"id":"c"}}"#)),
            Some((Kind::Removed, "c".to_owned(), 0))
        );
        assert_eq!(parse(&format!(r#"{time} /tasks/exit {{"container_id":"c","id":"c"}}"#)), None);
        assert_eq!(parse("noise"), None);
    }
}
