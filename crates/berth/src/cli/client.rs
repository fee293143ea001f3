//! A client of the local API.

use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// Runs `request` on a runtime of its own.
pub(super) fn block_on<T>(request: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(request)
}

/// GETs `path` and decodes the JSON of the answer.
pub(super) async fn get_json<T: DeserializeOwned>(socket: &Path, path: &str) -> anyhow::Result<T> {
    let mut body = Vec::new();
    get(socket, path, |chunk| body.extend_from_slice(chunk)).await?;
    serde_json::from_slice(&body).with_context(|| format!("the agent's answer to {path} is not as expected"))
}

/// GETs `path` and hands over the answer as it comes.
pub(super) async fn get(socket: &Path, path: &str, mut take: impl FnMut(&[u8])) -> anyhow::Result<()> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!(
            "cannot reach the agent on {}: is berth running, and is this its --root-dir?",
            socket.display()
        )
    })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request =
        http::Request::get(path).header(http::header::HOST, "localhost").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let ok = response.status().is_success();
    let mut body = response.into_body();
    let mut problem = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref() {
            if ok { take(data) } else { problem.extend_from_slice(data) }
        }
    }
    if !ok {
        bail!("{}", String::from_utf8_lossy(&problem).trim());
    }
    Ok(())
}

/// `text` as part of a query or a path.
pub(super) fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
