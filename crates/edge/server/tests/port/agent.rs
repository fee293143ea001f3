//! An agent that is made up: one pod with one container.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use futures::future::{BoxFuture, FutureExt as _, ready};
use http::StatusCode;
use server::why::Why;
use server::{
    Containers, Local, LogFile, LogQuery, MetricsPage, Pods, Problem, Refusal, Streams, Target, Usage,
    UsagePage,
};
use telemetry::metrics::Registry;
use types::Pod;

pub(crate) struct Agent {
    pub(crate) registry: Registry,
    /// The runtime's streaming server.
    pub(crate) runtime: String,
    /// Logs that are being read.
    pub(crate) readers: Arc<AtomicUsize>,
    pub(crate) health: Mutex<Result<(), String>>,
    /// Why nothing can be told of what is used.
    pub(crate) unread: Mutex<Option<String>>,
    /// What was asked of containers.
    pub(crate) asked: Mutex<Vec<String>>,
}

struct Reader(Arc<AtomicUsize>);

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

fn pod(name: &str) -> Pod {
    serde_json::from_value(serde_json::json!({"metadata": {"name": name}})).unwrap()
}

impl Pods for Agent {
    fn desired(&self) -> Vec<Pod> {
        vec![pod("web")]
    }

    fn running(&self) -> Vec<Pod> {
        vec![pod("runs")]
    }

    fn log<'a>(
        &'a self,
        namespace: &'a str,
        pod: &'a str,
        container: &'a str,
        query: &'a LogQuery,
    ) -> BoxFuture<'a, Result<LogFile, Refusal>> {
        if (namespace, pod, container) != ("default", "web", "app") {
            return ready(Err(Refusal::not_found(format!("no {namespace}/{pod}/{container}")))).boxed();
        }
        self.readers.fetch_add(1, SeqCst);
        let reader = Reader(Arc::clone(&self.readers));
        let text = format!("{query:?}\n").into_bytes();
        let first = futures::stream::iter([Ok(text)]);
        let more =
            if query.follow { futures::stream::pending().boxed() } else { futures::stream::empty().boxed() };
        let log: LogFile = first.chain(more).inspect(move |_| _ = &reader).boxed();
        ready(Ok(log)).boxed()
    }
}

impl Local for Agent {
    fn why(&self, _: Option<&str>) -> Vec<Why> {
        Vec::new()
    }

    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }

    fn health(&self) -> Result<(), String> {
        self.health.lock().unwrap().clone()
    }

    fn metrics(&self, page: MetricsPage) -> BoxFuture<'_, String> {
        let text = match page {
            MetricsPage::Agent => self.registry.encode(),
            MetricsPage::Probes => "probe 0\n".to_owned(),
        };
        ready(text).boxed()
    }
}

impl Usage for Agent {
    fn summary(&self, only_cpu_and_memory: bool) -> BoxFuture<'_, Result<String, Refusal>> {
        let answer = match &*self.unread.lock().unwrap() {
            Some(why) => Err(Refusal::failed(why)),
            None => Ok(format!("{{\"only\":{only_cpu_and_memory}}}")),
        };
        ready(answer).boxed()
    }

    fn metrics(&self, page: UsagePage) -> BoxFuture<'_, String> {
        ready(format!("page{{page=\"{page:?}\"}} 1\n")).boxed()
    }
}

impl Agent {
    fn url(&self, what: &str, target: &Target) -> BoxFuture<'static, Result<String, Refusal>> {
        let Target { namespace, pod, uid, container } = target;
        self.asked.lock().unwrap().push(format!("{what} {namespace} {pod} {uid:?} {container}"));
        let url = match pod.as_str() {
            "none" => Err(Refusal::not_found("pod does not exist")),
            "busy" => Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many streams")),
            "away" => Ok("http://127.0.0.1:1/exec/token".to_owned()),
            pod => Ok(format!("{}/{pod}?x=1", self.runtime)),
        };
        ready(url).boxed()
    }
}

impl Containers for Agent {
    fn exec<'a>(
        &'a self,
        target: &'a Target,
        command: Vec<String>,
        streams: Streams,
    ) -> BoxFuture<'a, Result<String, Refusal>> {
        self.url(&format!("exec {command:?} {}", shown(streams)), target)
    }

    fn attach<'a>(&'a self, target: &'a Target, streams: Streams) -> BoxFuture<'a, Result<String, Refusal>> {
        self.url(&format!("attach {}", shown(streams)), target)
    }

    fn port_forward<'a>(
        &'a self,
        target: &'a Target,
        ports: Vec<u16>,
    ) -> BoxFuture<'a, Result<String, Refusal>> {
        self.url(&format!("port_forward {ports:?}"), target)
    }

    fn run<'a>(
        &'a self,
        target: &'a Target,
        command: Vec<String>,
    ) -> BoxFuture<'a, Result<Vec<u8>, Refusal>> {
        let output = match target.pod.as_str() {
            "none" => Err(Refusal::not_found("pod does not exist")),
            _ => Ok(format!("{command:?}").into_bytes()),
        };
        ready(output).boxed()
    }

    fn checkpoint<'a>(
        &'a self,
        target: &'a Target,
        location: &'a Path,
        timeout: u64,
    ) -> BoxFuture<'a, Result<(), Refusal>> {
        self.asked.lock().unwrap().push(format!("checkpoint {} {timeout}", location.display()));
        let done = if target.pod == "none" { Err(Refusal::not_found("pod does not exist")) } else { Ok(()) };
        ready(done).boxed()
    }
}

fn shown(streams: Streams) -> String {
    let all = [("in", streams.stdin), ("out", streams.stdout), ("err", streams.stderr), ("tty", streams.tty)];
    all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect::<Vec<_>>().join("+")
}
