//! An API server that answers as each test has it, and remembers what it was asked.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri};
use futures::stream;
use kubeapi::{Client, Kubeconfig, Limits, Metrics, Options};
use serde_json::{Value, json};
use telemetry::metrics::Registry;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

/// A request that came in.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: HashMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Asked {
    /// `GET /api/v1/pods`.
    pub(crate) fn what(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn is_watch(&self) -> bool {
        self.query.get("watch").is_some_and(|watch| watch == "true")
    }
}

/// What is answered.
pub(crate) enum Answer {
    Json(u16, Value),
    Text(u16, &'static [(&'static str, &'static str)], &'static str),
    /// Lines as they are sent; the connection breaks at `Err`, and the body ends with the sender.
    Lines(mpsc::Receiver<Result<Value, ()>>),
    Never,
}

/// A Status object.
pub(crate) fn failure(code: u16, reason: &str, message: &str) -> Answer {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "code": code, "reason": reason, "message": message,
    });
    Answer::Json(code, status)
}

/// A list of `items` at `version`.
pub(crate) fn list(version: &str, items: &[Value]) -> Answer {
    Answer::Json(200, json!({"kind": "List", "metadata": {"resourceVersion": version}, "items": items}))
}

/// The lines of a watch.
pub(crate) fn lines() -> (mpsc::Sender<Result<Value, ()>>, Answer) {
    let (sender, receiver) = mpsc::channel(16);
    (sender, Answer::Lines(receiver))
}

type Handler = Arc<dyn Fn(Asked) -> Answer + Send + Sync>;

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) registry: Registry,
    asked: watch::Receiver<Vec<Asked>>,
    _task: AbortOnDropHandle<()>,
}

impl Server {
    pub(crate) async fn start(handler: impl Fn(Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, handler)
    }

    pub(crate) fn serve<L>(listener: L, handler: impl Fn(Asked) -> Answer + Send + Sync + 'static) -> Self
    where
        L: axum::serve::Listener<Addr = SocketAddr>,
    {
        let address = listener.local_addr().unwrap();
        let (sender, asked) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        let handler: Handler = Arc::new(handler);
        let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let (handler, sender) = (Arc::clone(&handler), Arc::clone(&sender));
            async move {
                let Query(query) = Query::try_from_uri(&uri).unwrap();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let asked = Asked { method, path: uri.path().to_owned(), query, headers, body };
                sender.send_modify(|all| all.push(asked.clone()));
                respond(handler(asked)).await
            }
        };
        let router = axum::Router::new().fallback(answer);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, registry: Registry::new(), asked, _task: AbortOnDropHandle::new(task) }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }

    /// Waits until `enough` of what was asked.
    pub(crate) async fn wait(&self, enough: impl Fn(&[Asked]) -> bool) -> Vec<Asked> {
        let mut asked = self.asked.clone();
        within(asked.wait_for(|asked| enough(asked))).await.unwrap().clone()
    }

    /// A client that says nothing of itself.
    pub(crate) fn client(&self) -> Client {
        self.client_of(&format!("{{server: 'http://{}'}}", self.address), "{}")
    }

    pub(crate) fn client_of(&self, cluster: &str, user: &str) -> Client {
        client(cluster, user, &self.registry)
    }

    /// Fails unless this line is among the metrics, with `HOST` for the server's address.
    pub(crate) fn has_metric(&self, line: &str) {
        let line = line.replace("HOST", &self.address.to_string());
        let text = self.registry.encode();
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

pub(crate) fn client(cluster: &str, user: &str, registry: &Registry) -> Client {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    let text = format!(
        "current-context: a\ncontexts: [{{name: a, context: {{cluster: a, user: a}}}}]\nclusters: [{{name: a, cluster: {cluster}}}]\nusers: [{{name: a, user: {user}}}]\n"
    );
    std::fs::write(&path, text).unwrap();
    let options = Options { user_agent: "berth/test".into(), limits: Limits::default() };
    Client::new(Kubeconfig::read(&path).unwrap(), options, &Metrics::register(registry)).unwrap()
}

/// The result, or a failed test if it takes too long.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("within 20 s")
}

/// Writes a file so that whoever reads it sees the old or the new one.
pub(crate) fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(&new, path).unwrap();
}

async fn respond(answer: Answer) -> Result<Response<Body>, Infallible> {
    let response = match answer {
        Answer::Json(code, value) => Response::builder()
            .status(code)
            .header("content-type", "application/json")
            .body(value.to_string().into()),
        Answer::Text(code, headers, text) => {
            let mut response = Response::builder().status(code);
            for (name, value) in headers {
                response = response.header(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            response.body(text.into())
        }
        Answer::Lines(receiver) => {
            let lines = stream::unfold(receiver, async |mut receiver| {
                let line = receiver.recv().await?;
                let line = line.map(|value| format!("{value}\n")).map_err(|()| io::Error::other("broken"));
                Some((line, receiver))
            });
            Response::builder().body(Body::from_stream(lines))
        }
        Answer::Never => std::future::pending().await,
    };
    Ok(response.unwrap())
}
