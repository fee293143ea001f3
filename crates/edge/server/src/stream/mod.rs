//! Commands in containers, and streams to them: the runtime is asked for a URL of its streaming server, and the client is
//! connected with that.

mod backend;
mod hold;
mod options;
mod proxy;
mod spdy;
mod translate;
mod tunnel;
mod websocket;

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::extract::{Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodFilter;
use futures::future::BoxFuture;
use http::header;

use self::backend::Backend;
use crate::Refusal;
use crate::port::needs::Shared;

/// A container of a pod, as a path names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID, if the path has it.
    pub uid: Option<String>,
    /// The container's name; empty for the pod itself.
    pub container: String,
}

/// Which streams of a process to connect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Streams {
    /// Its standard input.
    pub stdin: bool,
    /// Its standard output.
    pub stdout: bool,
    /// Its standard error; never together with a terminal.
    pub stderr: bool,
    /// A terminal.
    pub tty: bool,
}

/// What is done inside of containers.
pub trait Containers: Send + Sync + 'static {
    /// The URL at which a command can be run.
    fn exec<'a>(
        &'a self,
        target: &'a Target,
        command: Vec<String>,
        streams: Streams,
    ) -> BoxFuture<'a, Result<String, Refusal>>;
    /// The URL at which a container's first process can be talked to. Whether it has a terminal is for its spec to say.
    fn attach<'a>(&'a self, target: &'a Target, streams: Streams) -> BoxFuture<'a, Result<String, Refusal>>;
    /// The URL at which ports of a pod can be reached.
    fn port_forward<'a>(
        &'a self,
        target: &'a Target,
        ports: Vec<u16>,
    ) -> BoxFuture<'a, Result<String, Refusal>>;
    /// What a command writes, once it has ended well.
    fn run<'a>(&'a self, target: &'a Target, command: Vec<String>)
    -> BoxFuture<'a, Result<Vec<u8>, Refusal>>;
    /// Writes a checkpoint of a container to the archive `location`, within `timeout` seconds (0: the usual deadline).
    fn checkpoint<'a>(
        &'a self,
        target: &'a Target,
        location: &'a FilePath,
        timeout: u64,
    ) -> BoxFuture<'a, Result<(), Refusal>>;
}

/// The methods that begin a stream: POST for SPDY, GET for a WebSocket.
pub(crate) fn methods() -> MethodFilter {
    MethodFilter::GET.or(MethodFilter::POST)
}

type Pairs = Query<Vec<(String, String)>>;
type Named = Path<(String, String, String)>;
type NamedWithUid = Path<(String, String, String, String)>;

fn named(Path((namespace, pod, container)): Named) -> Target {
    Target { namespace, pod, uid: None, container }
}

fn named_with_uid(Path((namespace, pod, uid, container)): NamedWithUid) -> Target {
    Target { namespace, pod, uid: Some(uid), container }
}

type Answer = Result<Response, Refusal>;

pub(crate) async fn exec(
    State(shared): State<Arc<Shared>>,
    path: Named,
    pairs: Pairs,
    request: Request,
) -> Answer {
    executed(&shared, &named(path), &pairs, request).await
}

pub(crate) async fn exec_uid(
    State(shared): State<Arc<Shared>>,
    path: NamedWithUid,
    pairs: Pairs,
    request: Request,
) -> Answer {
    executed(&shared, &named_with_uid(path), &pairs, request).await
}

async fn executed(shared: &Shared, target: &Target, pairs: &Pairs, request: Request) -> Answer {
    let streams = options::streams(pairs)?;
    proxy::wanted(&request)?;
    let url = shared.needs.containers.exec(target, options::command(pairs), streams).await?;
    connected(shared, &url, request, "exec", streams).await
}

pub(crate) async fn attach(
    State(shared): State<Arc<Shared>>,
    path: Named,
    pairs: Pairs,
    request: Request,
) -> Answer {
    attached(&shared, &named(path), &pairs, request).await
}

pub(crate) async fn attach_uid(
    State(shared): State<Arc<Shared>>,
    path: NamedWithUid,
    pairs: Pairs,
    request: Request,
) -> Answer {
    attached(&shared, &named_with_uid(path), &pairs, request).await
}

async fn attached(shared: &Shared, target: &Target, pairs: &Pairs, request: Request) -> Answer {
    let streams = options::streams(pairs)?;
    proxy::wanted(&request)?;
    let url = shared.needs.containers.attach(target, streams).await?;
    connected(shared, &url, request, "attach", streams).await
}

pub(crate) async fn port_forward(
    State(shared): State<Arc<Shared>>,
    Path((namespace, pod)): Path<(String, String)>,
    pairs: Pairs,
    request: Request,
) -> Answer {
    let target = Target { namespace, pod, uid: None, container: String::new() };
    forwarded(&shared, &target, &pairs, request).await
}

pub(crate) async fn port_forward_uid(
    State(shared): State<Arc<Shared>>,
    Path((namespace, pod, uid)): Named,
    pairs: Pairs,
    request: Request,
) -> Answer {
    let target = Target { namespace, pod, uid: Some(uid), container: String::new() };
    forwarded(&shared, &target, &pairs, request).await
}

async fn forwarded(shared: &Shared, target: &Target, pairs: &Pairs, request: Request) -> Answer {
    let tunnelled =
        shared.needs.settings.websockets && websocket::offers(request.headers(), tunnel::PROTOCOL);
    let ports = if tunnelled { Vec::new() } else { options::ports(pairs, request.headers())? };
    proxy::wanted(&request)?;
    let url = shared.needs.containers.port_forward(target, ports).await?;
    let (backend, idle) = (Backend::of(&url)?, shared.needs.settings.stream_idle);
    if tunnelled {
        shared.needs.metrics.websocket("portforward");
        return tunnel::tunnel(request, &backend, idle).await;
    }
    proxy::proxy(request, &backend, idle).await
}

/// Connects the client of exec or attach. Runtimes do not know the newest protocol over WebSockets, which API servers pass
/// on to nodes that declare to know it (KEP-4006).
async fn connected(
    shared: &Shared,
    url: &str,
    request: Request,
    subresource: &str,
    streams: Streams,
) -> Answer {
    let (backend, idle) = (Backend::of(url)?, shared.needs.settings.stream_idle);
    if shared.needs.settings.websockets && websocket::offers(request.headers(), translate::PROTOCOL) {
        shared.needs.metrics.websocket(subresource);
        return translate::translate(request, backend, streams, idle).await;
    }
    proxy::proxy(request, &backend, idle).await
}

pub(crate) async fn run(State(shared): State<Arc<Shared>>, path: Named, pairs: Pairs) -> Answer {
    ran(&shared, &named(path), &pairs).await
}

pub(crate) async fn run_uid(State(shared): State<Arc<Shared>>, path: NamedWithUid, pairs: Pairs) -> Answer {
    ran(&shared, &named_with_uid(path), &pairs).await
}

async fn ran(shared: &Shared, target: &Target, pairs: &Pairs) -> Answer {
    let command = pairs.iter().find(|(name, _)| name == "cmd").map_or("", |(_, value)| value);
    let command = command.split(' ').map(str::to_owned).collect();
    let output = shared.needs.containers.run(target, command).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], output).into_response())
}
