//! An API server of the test's own: `berth solo` without its agent.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kubeapi::{ApiErrorKind, Client, Kubeconfig, Metrics, Object, Options, Selection, Store};
use serde_json::{Value, json};
use telemetry::metrics::Registry;
use tokio::time::timeout;
use types::corev1::{Event, Node};
use types::k8s::api::coordination::v1::Lease;

use crate::rig::DEADLINE;

/// An API server that can go away and come back. Dropping it ends it.
pub(crate) struct ApiServer {
    dir: tempfile::TempDir,
    /// `127.0.0.1` and the port that the first start found.
    address: String,
    server: Option<Child>,
    admin: Client,
}

impl ApiServer {
    /// A server that runs, for a node called `node`.
    pub(crate) async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("berth-solo").tempdir().unwrap();
        let path = dir.path().to_owned();
        let started = tokio::task::spawn_blocking(move || spawn(&path, "127.0.0.1:0"));
        let (server, address) = timeout(DEADLINE, started).await.expect("the API server starts").unwrap();
        let kubeconfig = Kubeconfig::read(&dir.path().join("admin.kubeconfig")).unwrap();
        let options = Options { user_agent: "test".to_owned(), limits: kubeapi::Limits::default() };
        let admin = Client::new(kubeconfig, options, &Metrics::register(&Registry::new())).unwrap();
        Self { dir, address, server: Some(server), admin }
    }

    /// Starts it again, where it was.
    pub(crate) async fn restart(&mut self) {
        let (path, address) = (self.dir.path().to_owned(), self.address.clone());
        let started = tokio::task::spawn_blocking(move || spawn(&path, &address));
        let (server, _) = timeout(DEADLINE, started).await.expect("the API server starts").unwrap();
        self.server = Some(server);
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        let mut server = self.server.take().expect("the API server runs");
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// The directory of its files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where it listens: an address and a port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The kubeconfig of the node.
    pub(crate) fn node_kubeconfig(&self) -> PathBuf {
        self.dir.path().join("node.kubeconfig")
    }

    /// Somebody who may do everything.
    pub(crate) fn admin(&self) -> &Client {
        &self.admin
    }

    /// The Node object; null if there is none.
    pub(crate) async fn node(&self) -> Value {
        self.object::<Node>(None, "node").await
    }

    /// The node's lease; null if there is none.
    pub(crate) async fn lease(&self) -> Value {
        self.object::<Lease>(Some("kube-node-lease"), "node").await
    }

    /// One object; null if there is none, or while the server is away.
    pub(crate) async fn object<K: Object>(&self, namespace: Option<&str>, name: &str) -> Value {
        match self.admin.get::<K>(namespace, name).await {
            Ok(object) => json!(object),
            // Connections of before a restart are dead, which only shows when they are used.
            Err(error) if error.kind == ApiErrorKind::NotFound || error.is_transient() => Value::Null,
            Err(error) => panic!("{name}: {error}"),
        }
    }

    /// The reasons of the events about the node, sorted.
    pub(crate) async fn node_events(&self) -> Value {
        let store = Store::<Event>::start(&self.admin, Selection::field("involvedObject.kind", "Node"));
        timeout(DEADLINE, store.synced()).await.expect("events are listed");
        let events = store.objects().unwrap();
        let mut reasons: Vec<_> = events.values().filter_map(|event| event.reason.clone()).collect();
        reasons.sort();
        json!(reasons)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Starts the server, and waits until it says where it listens.
fn spawn(dir: &Path, listen: &str) -> (Child, String) {
    let mut server = Command::new(env!("CARGO_BIN_EXE_berth"))
        .args(["solo", "--no-agent", "--node-name=node", "--listen", listen, "--dir"])
        .arg(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let address = address(&mut server);
    (server, address)
}

/// What the server on the other end says of where it listens.
pub(crate) fn address(server: &mut Child) -> String {
    let mut said = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let (_, address) = said.trim_end().split_once("https://").unwrap_or_else(|| panic!("it said {said:?}"));
    address.to_owned()
}
