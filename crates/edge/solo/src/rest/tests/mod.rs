//! The API over HTTP, without sockets.

mod access;
mod collections;
mod control;
mod deletion;
mod discovery;
mod objects;
mod pods;
mod tokens;
mod watches;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{Peer, router};
use crate::api::Api;
use crate::auth::{Issuer, User};
use crate::authority::{Authority, token_key};
use crate::control as controllers;
use crate::store::Store;

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

/// An API with its first objects.
struct Server {
    api: Arc<Api>,
    router: Router,
    dir: TempDir,
}

fn admin() -> Option<User> {
    Some(User::of_certificate("admin".to_owned(), vec!["system:masters".to_owned()]))
}

fn node(name: &str) -> Option<User> {
    Some(User::of_certificate(format!("system:node:{name}"), vec!["system:nodes".to_owned()]))
}

impl Server {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::open(dir.path()).unwrap();
        let identity = authority.client(dir.path(), "c", "c", &[]).unwrap();
        let api = Arc::new(Api {
            nodes: crate::node::NodeClient::new(&identity, &authority.certificate, None).unwrap(),
            usages: crate::usage::Usages::default(),
            stream_idle: DEADLINE,
            store: Store::open(&dir.path().join("store")).unwrap(),
            issuer: Arc::new(Issuer::new(&token_key(dir.path()).unwrap()).unwrap()),
            ca: "the authority".into(),
            address: "127.0.0.1:6443".to_owned(),
        });
        let first = |txn: &mut crate::store::Txn| {
            controllers::establish(txn, "the authority", 6443);
            Ok(())
        };
        api.store.write(first).await.unwrap();
        Self { router: router(api.clone()), api, dir }
    }

    /// The controllers, until the handle is aborted.
    fn control(&self) -> JoinHandle<()> {
        let authority = Authority::open(self.dir.path()).unwrap();
        tokio::spawn(controllers::run(self.api.clone(), authority, CancellationToken::new()))
    }

    async fn send(&self, user: Option<User>, request: Request<Body>) -> http::Response<Body> {
        let mut request = request;
        if let Some(user) = user {
            request.extensions_mut().insert(Peer(user));
        }
        self.router.clone().oneshot(request).await.unwrap()
    }

    async fn by(&self, user: Option<User>, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let kind = if method == Method::PATCH {
            "application/strategic-merge-patch+json"
        } else {
            "application/json"
        };
        self.typed(user, method, path, kind, body).await
    }

    async fn typed(
        &self,
        user: Option<User>,
        method: Method,
        path: &str,
        kind: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request =
            Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, kind).body(body);
        read(self.send(user, request.unwrap()).await).await
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.by(admin(), Method::GET, path, Value::Null).await
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.by(admin(), Method::POST, path, body).await
    }

    async fn put(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.by(admin(), Method::PUT, path, body).await
    }

    async fn patch(&self, path: &str, body: Value) -> (StatusCode, Value) {
        self.by(admin(), Method::PATCH, path, body).await
    }

    async fn delete(&self, path: &str) -> (StatusCode, Value) {
        self.by(admin(), Method::DELETE, path, Value::Null).await
    }

    /// A node that is ready, and a pod on it.
    async fn with_node(&self) {
        let (code, _) = self.post("/api/v1/nodes", json!({"metadata": {"name": "n1"}})).await;
        assert_eq!(code, StatusCode::CREATED);
    }

    async fn with_pod(&self, name: &str) -> Value {
        let (code, pod) = self.post("/api/v1/namespaces/default/pods", pod(name)).await;
        assert_eq!(code, StatusCode::CREATED, "{pod}");
        pod
    }

    /// Waits until the object at `path` is as `test` says.
    async fn until(&self, path: &str, test: impl Fn(StatusCode, &Value) -> bool) {
        let mut commits = self.api.store.commits();
        let wait = async {
            loop {
                commits.borrow_and_update();
                let (code, value) = self.get(path).await;
                if test(code, &value) {
                    return;
                }
                commits.changed().await.unwrap();
            }
        };
        tokio::time::timeout(DEADLINE, wait).await.unwrap();
    }
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "labels": {"app": name}}, "spec": {"containers": [{"name": "a", "image": "i:1"}]}})
}

async fn read(response: http::Response<Body>) -> (StatusCode, Value) {
    let code = response.status();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let value = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
    (code, value)
}

/// The names of a list's items.
fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(crate::object::name).collect()
}
