//! Hooks against servers on this machine.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use task::events::Recorder;
use telemetry::metrics::Registry;
use testkit::fake::{ExecAnswer, FakeRuntime};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use types::{Event, PodName};

use super::*;

struct Node {
    fake: FakeRuntime,
    runtime: Runtime,
    metrics: Metrics,
    recorder: Recorder,
    events: tokio::sync::mpsc::Receiver<Event>,
}

async fn node() -> Node {
    let fake = FakeRuntime::start().await.unwrap();
    let registry = Registry::default();
    let endpoint = cri::Endpoint::at(fake.socket());
    let runtime = Runtime::new(&endpoint, None, cri::Options::default(), cri::Metrics::register(&registry));
    let (recorder, events) = Recorder::channel(10);
    Node { fake, runtime, metrics: Metrics::register(&registry), recorder, events }
}

impl Node {
    async fn run(&self, hook: Value, limit: Option<Duration>) -> Result<(), HookError> {
        let pod = PodRef { name: PodName::new("default", "web"), uid: "u".into() };
        self.fake.run_pod(&pod, &["app"]).ok();
        let id = self.fake.read(|store| store.container("web", "app").unwrap().id.clone());
        let container = json!({"name": "app", "ports": [{"name": "admin", "containerPort": 1}]});
        let context = HookContext {
            runtime: &self.runtime,
            pod: &pod,
            container: &serde_json::from_value(container).unwrap(),
            id: &id.into(),
            ip: Some("127.0.0.1".parse().unwrap()),
            recorder: &self.recorder,
            metrics: &self.metrics,
        };
        run(&serde_json::from_value(hook).unwrap(), &context, limit).await
    }
}

/// Reads the head of a request and answers it.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, status: &str) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { break };
        head.push(byte);
    }
    // The body never comes.
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 1000000\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    String::from_utf8(head).unwrap()
}

/// A server for one request, in TLS or not, and what it is asked.
async fn server(tls: bool, status: &'static str) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        if !tls {
            return answer(stream, status).await;
        }
        let signed = rcgen::generate_simple_self_signed(["elsewhere.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
        let stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
        answer(stream, status).await
    });
    (port, serving)
}

fn http_get(scheme: &str, port: u16) -> Value {
    let headers = json!([{"name": "X-Mine", "value": "1"}, {"name": "Authorization", "value": "Bearer x"}]);
    json!({"httpGet": {"scheme": scheme, "port": port, "path": "bye?x=1", "httpHeaders": headers}})
}

#[tokio::test]
async fn http_and_https() {
    let mut node = node().await;
    for (tls, scheme, status) in
        [(false, "HTTP", "200 OK"), (false, "HTTP", "500 Oops"), (true, "HTTPS", "200 OK")]
    {
        let (port, served) = server(tls, status).await;
        node.run(http_get(scheme, port), None).await.unwrap();
        let asked = served.await.unwrap().to_lowercase();
        assert!(asked.starts_with("get /bye?x=1 http/1.1\r\n"), "{asked}");
        for line in ["x-mine: 1", "authorization: bearer x", "user-agent: kube-lifecycle/1.36"] {
            assert!(asked.contains(line), "{asked}");
        }
        assert!(asked.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{asked}");
    }
    assert!(node.events.try_recv().is_err());
    assert_eq!(node.metrics.http_fallbacks.get(&[]), 0);
}

#[tokio::test]
async fn redirects_on_the_same_host_are_followed() {
    let node = node().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async |answers: Vec<&str>| {
        let mut asked = Vec::new();
        for status in answers {
            let (stream, _) = listener.accept().await.unwrap();
            asked.push(answer(stream, status).await.lines().next().unwrap().to_owned());
        }
        asked
    };
    let run = || node.run(http_get("HTTP", port), None);
    let elsewhere = "302 Found\r\nLocation: http://elsewhere.example/";
    let (ran, asked) = tokio::join!(run(), serve(vec!["301 Moved\r\nLocation: bye/", elsewhere]));
    ran.unwrap();
    assert_eq!(asked, ["GET /bye?x=1 HTTP/1.1", "GET /bye/ HTTP/1.1"]);
}

#[tokio::test]
async fn https_that_is_answered_in_http_is_made_again() {
    let mut node = node().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        first.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").await.unwrap();
        let (second, _) = listener.accept().await.unwrap();
        answer(second, "200 OK").await
    });
    node.run(http_get("HTTPS", port), None).await.unwrap();
    let asked = serving.await.unwrap().to_lowercase();
    assert!(asked.contains("x-mine: 1") && !asked.contains("authorization"), "{asked}");
    let event = node.events.try_recv().unwrap();
    assert_eq!(event.reason, "LifecycleHTTPFallback");
    assert_eq!(
        event.message,
        format!(
            "request to HTTPS lifecycle hook 127.0.0.1:{port} got HTTP response, retry with HTTP succeeded"
        )
    );
    assert_eq!(node.metrics.http_fallbacks.get(&[]), 1);
}

#[tokio::test]
async fn other_failures_of_https_are_failures() {
    let mut node = node().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        first.write_all(b"SSH-2.0-x\r\n").await.unwrap();
        listener
    });
    let error = node.run(http_get("HTTPS", port), None).await.unwrap_err();
    assert!(matches!(error, HookError::Http { .. }), "{error}");
    drop(serving.await.unwrap());
    assert!(node.run(http_get("HTTP", port), None).await.is_err(), "nobody listens any more");
    assert!(node.events.try_recv().is_err());
}

#[tokio::test]
async fn tcp() {
    let node = node().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    node.run(json!({"tcpSocket": {"port": port}}), None).await.unwrap();
    drop(listener);
    let error = node.run(json!({"tcpSocket": {"port": port}}), None).await.unwrap_err();
    assert!(matches!(error, HookError::Tcp(_)), "{error}");
    let error = node.run(json!({"tcpSocket": {"port": "none"}}), None).await.unwrap_err();
    assert!(matches!(error, HookError::Target(_)), "{error}");
    let error = node.run(json!({"tcpSocket": {"port": "admin"}}), None).await.unwrap_err();
    assert!(matches!(error, HookError::Tcp(dial) if dial.address == "127.0.0.1:1"));
}

#[tokio::test(start_paused = true)]
async fn sleep_and_its_limit() {
    let node = node().await;
    let begun = Instant::now();
    node.run(json!({"sleep": {"seconds": 7}}), Some(Duration::from_secs(30))).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 7);
    let limit = Duration::from_secs(3);
    let error = node.run(json!({"sleep": {"seconds": 7}}), Some(limit)).await.unwrap_err();
    assert!(matches!(error, HookError::Timeout(at) if at == limit));
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn exec() {
    let node = node().await;
    node.fake.on_exec(
        &["stop"],
        ExecAnswer {
            stdout: b"half ".to_vec(),
            stderr: b"done\n".to_vec(),
            exit_code: 3,
            ..Default::default()
        },
    );
    node.run(json!({"exec": {"command": ["true"]}}), None).await.unwrap();
    let error = node.run(json!({"exec": {"command": ["stop"]}}), None).await.unwrap_err();
    assert_eq!(error.to_string(), "Exec lifecycle hook ([\"stop\"]) exited with 3: half done");
}
