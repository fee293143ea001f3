//! The local API over a unix socket, answering from an agent that is made up.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt as _};
use server::why::Why;
use server::{
    ListenError, Local, LogFile, LogQuery, MetricsPage, Pods, Problem, Refusal, local_api, serve_unix,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use types::Pod;

struct Fake;

impl Pods for Fake {
    fn desired(&self) -> Vec<Pod> {
        vec![serde_json::from_value(serde_json::json!({"metadata": {"name": "web"}})).unwrap()]
    }

    fn running(&self) -> Vec<Pod> {
        Vec::new()
    }

    fn log<'a>(
        &'a self,
        namespace: &'a str,
        pod: &'a str,
        container: &'a str,
        query: &'a LogQuery,
    ) -> BoxFuture<'a, Result<LogFile, Refusal>> {
        let text = format!("{namespace}/{pod}/{container} tail {:?}\n", query.tail_lines);
        let log: Result<LogFile, _> = match container {
            "none" => Err(Refusal::not_found("container \"none\" is not in the pod")),
            _ => Ok(futures::stream::iter([Ok(text.into_bytes())]).boxed()),
        };
        Box::pin(async move { log })
    }
}

impl Local for Fake {
    fn why(&self, _: Option<&str>) -> Vec<Why> {
        Vec::new()
    }

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn health(&self) -> Result<(), String> {
        Err("the made-up agent is never well".to_owned())
    }

    fn metrics(&self, page: MetricsPage) -> BoxFuture<'_, String> {
        let text = match page {
            MetricsPage::Agent => "up 1\n",
            MetricsPage::Probes => "probed 1\n",
        };
        std::future::ready(text.to_owned()).boxed()
    }
}

/// Asks until the socket is there, and returns status line and body.
async fn get(socket: &Path, path: &str) -> (String, String) {
    let connected = async {
        loop {
            match UnixStream::connect(socket).await {
                Ok(stream) => return stream,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let mut stream = tokio::time::timeout(std::time::Duration::from_secs(10), connected).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn answers_on_a_socket_that_only_its_owner_may_open() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("berth.sock");
    // A process that died has left its socket behind.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let shutdown = CancellationToken::new();
    let serving = {
        let (socket, shutdown) = (socket.clone(), shutdown.clone());
        tokio::spawn(async move { serve_unix(&socket, local_api(Arc::new(Fake)), shutdown).await })
    };
    for (path, status, body) in [
        ("/pods", "200 OK", "\"name\":\"web\""),
        ("/why?pod=web", "200 OK", "[]"),
        ("/healthz", "500 Internal Server Error", "never well"),
        ("/metrics", "200 OK", "up 1"),
        ("/metrics/probes", "200 OK", "probed 1"),
        ("/containerLogs/ns/web/c?tailLines=3", "200 OK", "ns/web/c tail Some(3)"),
        ("/containerLogs/ns/web/none", "404 Not Found", "is not in the pod"),
        ("/nothing", "404 Not Found", ""),
    ] {
        let (line, answer) = get(&socket, path).await;
        assert!(line.ends_with(status), "{path}: {line}");
        assert!(answer.contains(body), "{path}: {answer}");
    }
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    let second = serve_unix(&socket, local_api(Arc::new(Fake)), CancellationToken::new()).await;
    assert!(matches!(second, Err(ListenError::InUse(_))), "{second:?}");
    shutdown.cancel();
    serving.await.unwrap().unwrap();
    assert!(!socket.exists());
}
