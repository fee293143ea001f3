//! Logs of services: out of the journal where they are there, else out of a file that is named like the service.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderValue, header};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::files;
use super::query::NodeLogQuery;

const JOURNALCTL: &str = "journalctl";
/// All of it has to be done in this time.
const DEADLINE: Duration = Duration::from_secs(30);
/// How much is read at once, in bytes.
const PIECE: usize = 32 * 1024;
/// Pieces that wait for a client that reads slowly.
const PIECES: usize = 4;
/// The names of all services take less, in bytes.
const NAMES: u64 = 16 << 20;

/// Answers with the logs that `query` asks for, compressed if the client says so. What goes wrong on the way is told in
/// the text, as upstream does.
pub(super) fn serve(dir: PathBuf, query: NodeLogQuery, headers: &HeaderMap) -> Response {
    let gzip = headers.get(header::ACCEPT_ENCODING).is_some_and(|value| value == "gzip");
    let (sender, receiver) = mpsc::channel(PIECES);
    let work = tokio::spawn(async move {
        let mut out = Out(sender);
        if timeout(DEADLINE, copy(&dir, &query, &mut out)).await.is_err() {
            let _ = out.say(&format!("\nthe log was not read to its end within {DEADLINE:?}\n")).await;
        }
    });
    // A client that is gone takes the work with it, and the journalctl that runs for it.
    let work = AbortOnDropHandle::new(work);
    let pieces = futures::stream::unfold((receiver, work), |(mut receiver, work)| async {
        receiver.recv().await.map(|piece| (piece, (receiver, work)))
    });
    let content = [(header::CONTENT_TYPE, "text/plain;charset=UTF-8")];
    let plain = pieces.map(Ok::<_, io::Error>);
    if !gzip {
        return (content, Body::from_stream(plain)).into_response();
    }
    let mut response = (content, Body::from_stream(compressed(plain))).into_response();
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}

fn compressed(
    pieces: impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static,
) -> impl Stream<Item = io::Result<Vec<u8>>> + Send {
    let encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
    futures::stream::try_unfold((Box::pin(pieces), encoder), |(mut pieces, encoder)| async {
        let Some(mut encoder) = encoder else { return Ok(None) };
        Ok(Some(match pieces.try_next().await? {
            Some(piece) => {
                encoder.write_all(&piece)?;
                (std::mem::take(encoder.get_mut()), (pieces, Some(encoder)))
            }
            None => (encoder.finish()?, (pieces, None)),
        }))
    })
}

/// Where the text goes. An error says that nobody reads it any more.
struct Out(mpsc::Sender<Vec<u8>>);

struct Gone;

impl Out {
    async fn put(&mut self, piece: &[u8]) -> Result<(), Gone> {
        self.0.send(piece.to_vec()).await.map_err(|_| Gone)
    }

    async fn say(&mut self, text: &str) -> Result<(), Gone> {
        self.put(text.as_bytes()).await
    }
}

async fn copy(dir: &Path, query: &NodeLogQuery, out: &mut Out) -> Result<(), Gone> {
    let known = services_in_journal().await;
    let in_journal = |service: &String| known.contains(&format!("{service}.service"));
    let (journal, files): (Vec<_>, Vec<_>) = query.services.iter().cloned().partition(in_journal);
    if !journal.is_empty() {
        from_journal(query, &journal, out).await?;
    }
    if !files.is_empty() && query.has_options() {
        let names = files.join(" ");
        let text = format!(
            "\nthe logs of [{names}] are files, of which no part can be asked for: leave the options out\n"
        );
        return out.say(&text).await;
    }
    for service in files {
        from_file(dir, &service, out).await?;
    }
    Ok(())
}

/// The units that have written to the journal, one on a line. Empty where there is no journal.
async fn services_in_journal() -> String {
    let asked = journalctl(&["--field".to_owned(), "_SYSTEMD_UNIT".to_owned()]).stderr(Stdio::null()).spawn();
    let Ok(mut child) = asked else { return String::new() };
    let mut names = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let _ = stdout.take(NAMES).read_to_end(&mut names).await;
    }
    String::from_utf8_lossy(&names).into_owned()
}

fn journalctl(arguments: &[String]) -> Command {
    let mut command = Command::new(JOURNALCTL);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command
}

async fn from_journal(query: &NodeLogQuery, services: &[String], out: &mut Out) -> Result<(), Gone> {
    let spawned = journalctl(&query.arguments(services)).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = spawned else { return out.say("\nerror: journal output not available\n").await };
    let mut piece = vec![0; PIECE];
    if let Some(mut stdout) = child.stdout.take() {
        while let Ok(read) = stdout.read(&mut piece).await
            && read > 0
        {
            out.put(&piece[..read]).await?;
        }
    }
    if let Some(mut stderr) = child.stderr.take()
        && let Ok(read) = stderr.read(&mut piece).await
    {
        out.put(&piece[..read]).await?;
    }
    let _ = child.wait().await;
    Ok(())
}

/// Where the log of a service that does not write to the journal may be.
fn candidates(service: &str) -> [String; 3] {
    [service.to_owned(), format!("{service}.log"), format!("{service}/{service}.log")]
}

async fn from_file(dir: &Path, service: &str, out: &mut Out) -> Result<(), Gone> {
    let (root, wanted) = (dir.to_owned(), service.to_owned());
    let opened = tokio::task::spawn_blocking(move || {
        let mut opened = candidates(&wanted).into_iter().map(|path| files::open(&root, &path));
        opened.find_map(Result::transpose).transpose()
    });
    let mut file = match opened.await.unwrap_or(Ok(None)) {
        Ok(Some(file)) => tokio::fs::File::from_std(file),
        Ok(None) => return out.say(&format!("\nlog not found for {service}\n")).await,
        Err(error) => return out.say(&format!("\nerror getting log for {service}: {error}\n")).await,
    };
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).await {
            Ok(0) => return Ok(()),
            Ok(read) => out.put(&piece[..read]).await?,
            Err(error) => return out.say(&format!("\nerror getting log for {service}: {error}\n")).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http_body_util::BodyExt as _;

    use super::*;

    async fn ask(dir: &Path, services: &[&str], gzip: bool) -> Vec<u8> {
        let pairs: Vec<_> =
            services.iter().map(|service| ("query".to_owned(), (*service).to_owned())).collect();
        let query = NodeLogQuery::parse(&pairs).unwrap().unwrap();
        let mut headers = HeaderMap::new();
        if gzip {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let body = serve(dir.to_owned(), query, &headers).into_body();
        body.collect().await.unwrap().to_bytes().to_vec()
    }

    #[tokio::test]
    async fn files_stand_in_for_the_journal() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("no-such-unit-a.log"), "first\n").unwrap();
        std::fs::create_dir(dir.path().join("no-such-unit-b")).unwrap();
        std::fs::write(dir.path().join("no-such-unit-b/no-such-unit-b.log"), "second\n").unwrap();
        let names = ["no-such-unit-a", "no-such-unit-b", "no-such-unit-c"];
        let expected = "first\nsecond\n\nlog not found for no-such-unit-c\n";
        assert_eq!(String::from_utf8(ask(dir.path(), &names, false).await).unwrap(), expected);
        let mut text = String::new();
        let packed = ask(dir.path(), &names, true).await;
        flate2::read::GzDecoder::new(&*packed).read_to_string(&mut text).unwrap();
        assert_eq!(text, expected);
    }
}
