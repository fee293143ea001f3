//! An API server of the test's own: `solo`, with all requests counted, and some answered as the test says.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::{Method, StatusCode};
use kubeapi::{ApiErrorKind, Client, Deletion, Kubeconfig, Limits, Object, Options, Selection, Store};
use serde_json::{Value, json};
use solo::{Settings, Solo, SoloError};
use telemetry::metrics::Registry;
use testkit::pod::PodBuilder;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use types::corev1::{Event, Namespace, Node};
use types::k8s::api::coordination::v1::Lease;
use types::{Pod, PodRef};

use crate::api_real::RealServer;
use crate::rig::{DEADLINE, Rig, is_ready};

/// How often an object is looked at that a test waits for.
const ASKED_EVERY: Duration = Duration::from_millis(10);
const TESTER: &str = "tester";

/// A berth on a fake runtime, that is the node of an API server.
pub(crate) struct ApiRig {
    pub(crate) rig: Rig,
    pub(crate) server: Server,
}

impl ApiRig {
    /// A server, and a berth that runs and has registered.
    pub(crate) async fn start() -> Self {
        let mut this = Self::prepare("").await;
        this.rig.launch();
        this.server.until_node("registered", |node| !node.is_null()).await;
        this
    }

    /// A server, and a berth that does not run yet, with `more` in its configuration.
    pub(crate) async fn prepare(more: &str) -> Self {
        let server = Server::start().await;
        let mut rig = Rig::prepare(more).await;
        rig.flags.push(format!("--kubeconfig={}", server.dir.path().join("node.kubeconfig").display()));
        Self { rig, server }
    }
}

/// An answer that takes the place of the server's.
struct Fault {
    method: Method,
    part: String,
    code: StatusCode,
    left: usize,
}

/// What the server was asked by others than the test, and how it is to answer.
#[derive(Default)]
struct Between {
    requests: Vec<String>,
    faults: Vec<Fault>,
    /// The only bearer token that is good, if one is asked for.
    token: Option<String>,
    /// The server behind this one, if there is another.
    real: Option<Arc<RealServer>>,
}

/// The server.
pub(crate) struct Server {
    dir: tempfile::TempDir,
    address: SocketAddr,
    /// Somebody who may do everything.
    pub(crate) client: Client,
    between: Arc<Mutex<Between>>,
    running: Option<(CancellationToken, JoinHandle<Result<(), SoloError>>)>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("berth-solo").tempdir().unwrap();
        let between: Arc<Mutex<Between>> = Arc::default();
        let (address, running) = serve(&dir, "127.0.0.1:0".parse().unwrap(), Arc::clone(&between)).await;
        let real = RealServer::start(dir.path()).await.map(Arc::new);
        between.lock().unwrap().real = real;
        let kubeconfig = Kubeconfig::read(&dir.path().join("admin.kubeconfig")).unwrap();
        let limits = Limits { qps: 0.0, burst: 0, ..Limits::default() };
        let options = Options { user_agent: TESTER.to_owned(), limits };
        let metrics = kubeapi::Metrics::register(&Registry::new());
        let client = Client::new(kubeconfig, options, &metrics).unwrap();
        Self { dir, address, client, between, running: Some(running) }
    }

    /// Whether the answers are those of a real API server.
    pub(crate) fn is_real(&self) -> bool {
        self.between.lock().unwrap().real.is_some()
    }

    /// The directory of its files.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the server. What it has stays on its disk.
    pub(crate) async fn stop(&mut self) {
        let (stop, task) = self.running.take().expect("the server runs");
        stop.cancel();
        task.await.unwrap().unwrap();
    }

    /// Starts it again, at the same address.
    pub(crate) async fn come_back(&mut self) {
        let (_, running) = serve(&self.dir, self.address, Arc::clone(&self.between)).await;
        self.running = Some(running);
    }

    /// Has the next `times` requests with that method and with `part` in their path answered with `code`.
    pub(crate) fn fail(&self, method: Method, part: &str, code: u16, times: usize) {
        let code = StatusCode::from_u16(code).unwrap();
        let fault = Fault { method, part: part.to_owned(), code, left: times };
        self.between.lock().unwrap().faults.push(fault);
    }

    /// From now on only requests with this bearer token are answered; watches that are under way go on.
    pub(crate) fn require_token(&self, token: &str) {
        self.between.lock().unwrap().token = Some(format!("Bearer {token}"));
    }

    /// Has all requests answered by the server again.
    pub(crate) fn heal(&self) {
        self.between.lock().unwrap().faults.clear();
    }

    /// Writes that concern pods, so far: method and what comes behind `/api/v1/namespaces/`.
    pub(crate) fn pod_writes(&self) -> Vec<String> {
        let between = self.between.lock().unwrap();
        let pods = between.requests.iter().filter(|request| request.contains("/pods"));
        pods.filter(|request| !request.starts_with("GET ")).cloned().collect()
    }

    /// All requests so far, in the same form.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.between.lock().unwrap().requests.clone()
    }

    pub(crate) fn forget_requests(&self) {
        self.between.lock().unwrap().requests.clear();
    }

    /// Creates the pod as a user would. What a pod needs to begin with may take the server a moment.
    pub(crate) async fn create(&self, pod: &PodBuilder) {
        let mut value: Value = serde_json::from_str(&pod.manifest()).unwrap();
        value["metadata"].as_object_mut().unwrap().remove("uid");
        value["metadata"].as_object_mut().unwrap().remove("annotations");
        value["spec"]["automountServiceAccountToken"] = json!(false);
        self.create_value(value).await;
    }

    pub(crate) async fn create_value(&self, mut value: Value) {
        if self.is_real() {
            value["spec"]["nodeName"] = json!("node");
        }
        let pod: Pod = serde_json::from_value(value).unwrap();
        let give_up = Instant::now() + DEADLINE;
        while let Err(error) = self.client.create_pod(&pod).await {
            let early = error.kind == ApiErrorKind::Forbidden && Instant::now() < give_up;
            assert!(early, "{error}");
            sleep(ASKED_EVERY).await;
        }
    }

    pub(crate) async fn create_namespace(&self, name: &str) {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
        self.client.create(None, &namespace).await.unwrap();
    }

    /// The pod `name` of the namespace `default`; null if there is none.
    pub(crate) async fn pod(&self, name: &str) -> Value {
        self.pod_in("default", name).await
    }

    async fn pod_in(&self, namespace: &str, name: &str) -> Value {
        match self.client.get::<Pod>(Some(namespace), name).await {
            Ok(pod) => serde_json::to_value(pod).unwrap(),
            Err(error) if error.kind == ApiErrorKind::NotFound => Value::Null,
            Err(error) => panic!("{error}"),
        }
    }

    /// Deletes the pod as a user would. It may have gone by itself, before or in between.
    pub(crate) async fn delete(&self, name: &str, grace_seconds: Option<u32>) {
        let Ok(pod) = serde_json::from_value::<Pod>(self.pod(name).await) else { return };
        match self.client.delete_pod(&PodRef::of(&pod), grace_seconds).await {
            Ok(_) => {}
            Err(error) if error.kind == ApiErrorKind::NotFound => {}
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn patch(&self, name: &str, subresource: Option<&str>, patch: Value) {
        self.client.patch::<Pod>(Some("default"), name, subresource, &patch).await.unwrap();
    }

    pub(crate) async fn patch_node(&self, patch: Value) {
        self.client.patch_node("node", &patch).await.unwrap();
    }

    pub(crate) async fn until_pod(&self, name: &str, what: &str, seen: impl Fn(&Value) -> bool) -> Value {
        self.until_pod_in("default", name, what, seen).await
    }

    pub(crate) async fn until_pod_in(
        &self,
        namespace: &str,
        name: &str,
        what: &str,
        seen: impl Fn(&Value) -> bool,
    ) -> Value {
        let give_up = Instant::now() + DEADLINE;
        loop {
            let pod = self.pod_in(namespace, name).await;
            if seen(&pod) {
                return pod;
            }
            assert!(Instant::now() < give_up, "{name} is not {what}: {pod:#}");
            sleep(ASKED_EVERY).await;
        }
    }

    /// The Node object; null if there is none, or while the server is away.
    pub(crate) async fn node(&self) -> Value {
        self.object::<Node>(None).await
    }

    /// The node's lease; null if there is none, or while the server is away.
    pub(crate) async fn lease(&self) -> Value {
        self.object::<Lease>(Some("kube-node-lease")).await
    }

    /// The node's object of a kind.
    pub(crate) async fn object<K: Object>(&self, namespace: Option<&str>) -> Value {
        match self.client.get::<K>(namespace, "node").await {
            Ok(object) => json!(object),
            Err(error) if error.kind == ApiErrorKind::NotFound || error.is_transient() => Value::Null,
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) async fn create_node(&self) {
        let node: Node = serde_json::from_value(json!({"metadata": {"name": "node"}})).unwrap();
        self.client.create_node(&node).await.unwrap();
    }

    pub(crate) async fn delete_node(&self) {
        self.client.delete::<Node>(None, "node", &Deletion::default()).await.unwrap();
    }

    /// Waits until somebody was told this about the node.
    pub(crate) async fn until_node_event(&self, reason: &str) {
        self.until_event("Node", reason).await;
    }

    /// Waits until somebody was told this about an object of the kind.
    pub(crate) async fn until_event(&self, kind: &str, reason: &str) {
        let events = Store::<Event>::start(&self.client, Selection::field("involvedObject.kind", kind));
        let mut seen = events.subscribe();
        let told = seen.wait_for(|events| {
            let mut events = events.iter().flat_map(|events| events.values());
            events.any(|event| event.reason.as_deref() == Some(reason))
        });
        let told = timeout(DEADLINE, told).await;
        assert!(told.is_ok(), "nobody was told {reason} about a {kind}");
    }

    pub(crate) async fn until_node(&self, what: &str, seen: impl Fn(&Value) -> bool) -> Value {
        let give_up = Instant::now() + DEADLINE;
        loop {
            let node = self.node().await;
            if seen(&node) {
                return node;
            }
            assert!(Instant::now() < give_up, "the node is not {what}: {node:#}");
            sleep(ASKED_EVERY).await;
        }
    }

    pub(crate) async fn until_ready(&self, name: &str) -> Value {
        self.until_pod(name, "ready", is_ready).await
    }

    pub(crate) async fn until_phase(&self, name: &str, phase: &str) -> Value {
        self.until_pod(name, phase, |pod| pod["status"]["phase"] == phase).await
    }

    pub(crate) async fn until_gone(&self, name: &str) {
        self.until_pod(name, "gone", Value::is_null).await;
    }
}

async fn serve(
    dir: &tempfile::TempDir,
    listen: SocketAddr,
    between: Arc<Mutex<Between>>,
) -> (SocketAddr, (CancellationToken, JoinHandle<Result<(), SoloError>>)) {
    let settings = Settings::new(dir.path().to_owned(), listen, "node".to_owned());
    let give_up = Instant::now() + DEADLINE;
    let solo = loop {
        match Solo::open(&settings).await {
            Ok(solo) => break solo,
            // The one before lets go of its address and its store a moment later.
            Err(error) => assert!(Instant::now() < give_up, "{error}"),
        }
        sleep(ASKED_EVERY).await;
    };
    let (address, stop) = (solo.address(), CancellationToken::new());
    let wrap = move |router: Router| {
        router.layer(from_fn(move |request, next| pass(Arc::clone(&between), request, next)))
    };
    let task = tokio::spawn(solo.serve_through(stop.clone(), wrap));
    (address, (stop, task))
}

/// Counts a request, and answers it in the server's place if the test says so.
async fn pass(between: Arc<Mutex<Between>>, mut request: Request, next: Next) -> Response {
    let agent = request.headers().get("user-agent").and_then(|agent| agent.to_str().ok());
    let tester = agent == Some(TESTER);
    let real = between.lock().unwrap().real.clone();
    let answer = async |request| match real {
        Some(real) => real.forward(request, tester).await,
        None => next.run(request).await,
    };
    if tester {
        return answer(request).await;
    }
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    // The server behind knows the client by its certificate.
    let shown_token = request.headers_mut().remove(AUTHORIZATION);
    let fault = {
        let mut between = between.lock().unwrap();
        let good = between.token.as_ref().is_none_or(|good| shown_token.is_some_and(|shown| shown == good));
        let shown = path.strip_prefix("/api/v1/namespaces/").unwrap_or(&path);
        between.requests.push(format!("{method} {shown}"));
        let fits =
            |fault: &&mut Fault| fault.left > 0 && fault.method == method && path.contains(&fault.part);
        let fault = between.faults.iter_mut().find(fits).map(|fault| {
            fault.left -= 1;
            fault.code
        });
        if good { fault } else { Some(StatusCode::UNAUTHORIZED) }
    };
    match fault {
        Some(code) => code.into_response(),
        None => answer(request).await,
    }
}
