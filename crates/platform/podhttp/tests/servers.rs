//! Requests to servers of this machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on panics")]

use std::sync::Arc;
use std::time::Duration;

use podhttp::v1::health_check_response::ServingStatus as Wire;
use podhttp::v1::health_server::{Health as Service, HealthServer};
use podhttp::v1::{HealthCheckRequest, HealthCheckResponse};
use podhttp::{Answer, Caller, Get, GetError, Health, HealthError, ServingStatus, Target};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use types::Container;
use types::k8s::apimachinery::pkg::util::intstr::IntOrString;

/// Far more than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);
/// As much of a body as probes keep.
const LIMIT: usize = 10 << 10;

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn get(port: u16, more: Value) -> Get {
    let mut action = json!({"port": port, "path": "/healthz"});
    action.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let ip = Some("127.0.0.1".parse().unwrap());
    Get::new(&serde_json::from_value(action).unwrap(), &Container::default(), ip, Caller::Probe, LIMIT)
        .unwrap()
}

async fn answer(get: &Get) -> Result<Answer, GetError> {
    timeout(DEADLINE, get.answer(None)).await.expect("an answer in time")
}

/// Reads the head of a request and answers it with `answer`; the head as it was sent.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { break };
        head.push(byte);
    }
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    String::from_utf8(head).unwrap()
}

/// Answers as many requests as there are answers, each on a connection of its own.
fn server(listener: TcpListener, answers: Vec<String>) -> JoinHandle<Vec<String>> {
    tokio::spawn(async move {
        let mut heads = Vec::new();
        for answer in answers {
            let (stream, _) = listener.accept().await.unwrap();
            heads.push(serve(stream, &answer).await);
        }
        heads
    })
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn redirect(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 4\r\n\r\nover")
}

fn certified() -> TlsAcceptor {
    let signed = rcgen::generate_simple_self_signed(["elsewhere.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn http_with_headers() {
    let (listener, port) = listen().await;
    let served = server(listener, vec!["HTTP/1.1 503 Oops\r\nContent-Length: 2\r\n\r\nno".to_owned()]);
    let headers = json!([{"name": "X-Mine", "value": "1"}, {"name": "Host", "value": "web.example"}]);
    let got = answer(&get(port, json!({"httpHeaders": headers}))).await.unwrap();
    assert_eq!(got, Answer { status: 503, body: b"no".to_vec() });
    let head = served.await.unwrap().remove(0).to_lowercase();
    assert!(head.starts_with("get /healthz http/1.1\r\n"), "{head}");
    let lines =
        ["x-mine: 1", "host: web.example", "user-agent: kube-probe/1.36", "accept: */*", "connection: close"];
    for line in lines {
        assert_eq!(head.matches(&format!("{line}\r\n")).count(), 1, "{line}: {head}");
    }
}

#[tokio::test]
async fn https_with_any_certificate() {
    let (listener, port) = listen().await;
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(certified().accept(stream).await.unwrap(), &ok("fine")).await
    });
    let got = answer(&get(port, json!({"scheme": "HTTPS"}))).await.unwrap();
    assert_eq!(got, Answer { status: 200, body: b"fine".to_vec() });
    let head = served.await.unwrap();
    assert!(head.to_lowercase().contains(&format!("host: 127.0.0.1:{port}\r\n")), "{head}");
}

#[tokio::test]
async fn https_that_is_answered_otherwise() {
    for (bytes, speaks_http) in [("HTTP/1.0 400 Bad Request\r\n\r\n", true), ("SSH-2.0-x\r\n", false)] {
        let (listener, port) = listen().await;
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(bytes.as_bytes()).await.unwrap();
            // The client hangs up when it has seen that.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let error = answer(&get(port, json!({"scheme": "HTTPS"}))).await.unwrap_err();
        assert_eq!(matches!(error, GetError::SpeaksHttp), speaks_http, "{error}");
        assert_eq!(matches!(error, GetError::Tls(_)), !speaks_http, "{error}");
        served.await.unwrap();
    }
}

#[tokio::test]
async fn redirects_on_the_same_host_are_followed() {
    let (listener, port) = listen().await;
    let answers = vec![redirect("live?a=b"), redirect(&format!("http://127.0.0.1:{port}/x")), ok("there")];
    let served = server(listener, answers);
    let headers = json!([{"name": "Host", "value": "web.example"}]);
    let got = answer(&get(port, json!({"httpHeaders": headers}))).await.unwrap();
    assert_eq!(got.body, b"there");
    let heads = served.await.unwrap();
    let lines: Vec<_> = heads.iter().map(|head| head.lines().next().unwrap()).collect();
    assert_eq!(lines, ["GET /healthz HTTP/1.1", "GET /live?a=b HTTP/1.1", "GET /x HTTP/1.1"]);
    let own_host: Vec<_> =
        heads.iter().map(|head| head.to_lowercase().contains("host: web.example")).collect();
    assert_eq!(own_host, [true, true, false], "a whole URL names its host itself");
}

#[tokio::test]
async fn redirects_elsewhere_or_nowhere_are_answers() {
    let nowhere = "HTTP/1.1 304 Not Modified\r\nLocation: /\r\n\r\n".to_owned();
    for (given, body) in [(redirect("http://elsewhere.example/"), "over"), (nowhere, "")] {
        let (listener, port) = listen().await;
        let served = server(listener, vec![given]);
        let got = answer(&get(port, json!({}))).await.unwrap();
        assert!((300..400).contains(&got.status), "{got:?}");
        assert_eq!(got.body, body.as_bytes());
        served.await.unwrap();
    }
    let (listener, port) = listen().await;
    let served = server(listener, vec![redirect("http:// /")]);
    let error = answer(&get(port, json!({}))).await.unwrap_err();
    assert!(matches!(error, GetError::Location(_)), "{error}");
    served.await.unwrap();
}

#[tokio::test]
async fn ten_requests_and_no_more() {
    let (listener, port) = listen().await;
    let served = server(listener, vec![redirect("/x"); 10]);
    let error = answer(&get(port, json!({}))).await.unwrap_err();
    assert_eq!(error.to_string(), "stopped after 10 redirects");
    assert_eq!(served.await.unwrap().len(), 10);

    let (listener, port) = listen().await;
    let served = server(listener, [vec![redirect("/x"); 9], vec![ok("there")]].concat());
    assert_eq!(answer(&get(port, json!({}))).await.unwrap().body, b"there");
    served.await.unwrap();
}

#[tokio::test]
async fn bodies_are_cut_and_may_break_off() {
    let (listener, port) = listen().await;
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
        // Whoever has enough hangs up.
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let got = answer(&get(port, json!({}))).await.unwrap();
    assert_eq!((got.status, got.body.len()), (200, LIMIT));
    served.await.unwrap();

    let (listener, port) = listen().await;
    let served = server(listener, vec!["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nno".to_owned()]);
    let error = answer(&get(port, json!({}))).await.unwrap_err();
    assert!(matches!(error, GetError::Body(_)), "{error}");
    served.await.unwrap();
}

#[tokio::test]
async fn no_answer() {
    let (listener, port) = listen().await;
    let served = server(listener, vec![String::new(), "what?\r\n\r\n".to_owned()]);
    for _ in 0..2 {
        let error = answer(&get(port, json!({}))).await.unwrap_err();
        assert!(matches!(error, GetError::Exchange(_)), "{error}");
    }
    served.await.unwrap();
    let error = answer(&get(port, json!({}))).await.unwrap_err();
    assert!(matches!(error, GetError::Dial(_)), "{error}");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_dropped() {
    let (listener, port) = listen().await;
    let get = get(port, json!({}));
    let accepted = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 3];
        stream.read_exact(&mut head).await.unwrap();
        stream
    };
    let mut stream = tokio::select! {
        stream = accepted => stream,
        _ = get.answer(None) => panic!("nobody answered"),
    };
    // What is dropped hangs up.
    timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await.expect("it hangs up").unwrap();
}

#[tokio::test]
async fn time_is_up() {
    let (listener, port) = listen().await;
    let get = get(port, json!({}));
    let limit = Some(Duration::from_millis(50));
    // The kernel accepts, and nobody reads.
    let error = get.answer(limit).await.unwrap_err();
    assert!(matches!(error, GetError::Timeout), "{error}");
    let (silent, _) = listener.accept().await.unwrap();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nno").await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let error = get.answer(limit).await.unwrap_err();
    assert!(matches!(error, GetError::BodyTimeout), "{error}");
    served.await.unwrap();
    drop(silent);
}

struct Server;

#[tonic::async_trait]
impl Service for Server {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let agent = request.metadata().get("user-agent").unwrap().to_str().unwrap();
        assert!(agent.starts_with("kube-probe/1.36"), "{agent}");
        let status = match request.into_inner().service.as_str() {
            "" | "web" => Wire::Serving,
            "down" => Wire::NotServing,
            "odd" => Wire::Unknown,
            "new" => Wire::ServiceUnknown,
            name => return Err(Status::not_found(format!("no {name}"))),
        };
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }
}

async fn ask(port: u16, service: &str) -> Result<ServingStatus, HealthError> {
    let ip = Some("127.0.0.1".parse().unwrap());
    let target = Target::of(None, &IntOrString::Int(port.into()), &Container::default(), ip).unwrap();
    let asked = async { Health::connect(&target).await?.check(service).await };
    timeout(DEADLINE, asked).await.expect("an answer in time")
}

#[tokio::test]
async fn grpc() {
    let (listener, port) = listen().await;
    let router = tonic::transport::Server::builder().add_service(HealthServer::new(Server));
    let serving = tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    for (service, status) in [
        ("", ServingStatus::Serving),
        ("web", ServingStatus::Serving),
        ("down", ServingStatus::NotServing),
        ("odd", ServingStatus::Unknown),
        ("new", ServingStatus::ServiceUnknown),
    ] {
        assert_eq!(ask(port, service).await.unwrap(), status, "{service}");
    }
    let error = ask(port, "none").await.unwrap_err();
    assert_eq!(error.to_string(), "health rpc probe failed: NotFound: no none");
    serving.abort();
    assert!(serving.await.is_err());
    let error = ask(port, "").await.unwrap_err();
    assert!(telemetry::chain(&error).contains("connection refused"), "{error}");
}

#[tokio::test]
async fn grpc_without_health() {
    let (listener, port) = listen().await;
    let router = tonic::transport::Server::builder().add_routes(tonic::service::Routes::default());
    let serving = tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    let error = ask(port, "").await.unwrap_err();
    assert!(matches!(error, HealthError::Unimplemented(_)), "{error}");
    serving.abort();

    // A server of something else.
    let (listener, port) = listen().await;
    let served = server(listener, vec!["HTTP/1.1 400 Bad Request\r\n\r\n".to_owned()]);
    assert!(ask(port, "").await.is_err());
    served.await.unwrap();
}
