//! The node's own API, without an API server behind it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use testkit::fake::{ExecAnswer, LogStream};
use testkit::pod::pod;
use testkit::tls::TlsClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::port_rig::{KNOWN_MAY, Port, echo, served_on};
use crate::rig::{DEADLINE, Rig};

/// A berth whose port is served, with `more` in its configuration.
pub(crate) async fn started(more: &str) -> (Rig, Port) {
    let number = testkit::port::reserve().unwrap();
    let mut rig = Rig::prepare(&served_on(number, more)).await;
    let port = Port::prepare(&rig, number);
    rig.launch();
    port.until_served().await;
    (rig, port)
}

/// The body of an answer that is not all there yet.
pub(crate) async fn body(client: &TlsClient, path: &str) -> Incoming {
    let request = http::Request::get(path).body(Full::<Bytes>::default()).unwrap();
    let response = client.send(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body()
}

/// The next piece of it.
pub(crate) async fn line(body: &mut Incoming) -> String {
    let frame = timeout(DEADLINE, body.frame()).await.expect("the log goes on").unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn it_shows_what_there_is_to_those_it_knows() {
    let (rig, port) = started(KNOWN_MAY).await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    let client = port.known();
    for (path, status, text) in [
        ("/healthz", 200, "ok"),
        ("/healthz/syncloop", 200, "ok"),
        ("/pods", 200, "\"phase\":\"Running\""),
        ("/runningpods/", 200, "\"containers\":[{\"image\":"),
        ("/metrics", 200, "kubelet_started_pods_total 1\n"),
        ("/metrics/probes", 200, "process_start_time_seconds"),
        ("/configz", 200, "\"mode\":\"AlwaysAllow\""),
        ("/flagz", 200, "\nmax-pods=110\n"),
        ("/statusz", 200, "kubelet statusz"),
        ("/logs/", 200, "<pre>"),
        ("/spec", 404, ""),
        ("/containerLogs/default/none/main", 404, "pod \"none\" does not exist"),
        ("/containerLogs/default/web-node/none", 404, "container \"none\" not found"),
        ("/containerLogs/default/web-node/main?previous=true", 400, "previous terminated container"),
    ] {
        let (answered, body) = client.get(path).await.unwrap();
        assert_eq!(answered, status, "{path}: {body}");
        assert!(body.contains(text), "{path}: {body}");
        assert_eq!(port.client(None).get(path).await.unwrap().0, 401, "{path}");
    }
    let metrics = client.get("/metrics").await.unwrap().1;
    let counted = "kubelet_http_requests_total{long_running=\"false\",method=\"GET\",path=\"pods\",server_type=\"readwrite\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    rig.assert_proper();
}

#[tokio::test]
async fn it_tells_what_pods_use() {
    let (rig, port) = started(KNOWN_MAY).await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    let client = port.known();
    for (path, text) in [
        ("/stats/summary", "\"podRef\":{\"name\":\"web-node\",\"namespace\":\"default\""),
        ("/stats/summary?only_cpu_and_memory=true", "\"podRef\":{\"name\":\"web-node\""),
        ("/metrics/resource", "pod=\"web-node\""),
        // The made-up runtime makes no cgroups.
        ("/metrics/cadvisor", "container_scrape_error 0"),
    ] {
        let (status, body) = client.get(path).await.unwrap();
        assert_eq!(status, 200, "{path}: {body}");
        assert!(body.contains(text), "{path}: {body}");
        assert_eq!(port.client(None).get(path).await.unwrap().0, 401, "{path}");
    }
    rig.assert_proper();
}

#[tokio::test]
async fn a_log_is_followed_until_its_container_has_ended() {
    let (rig, port) = started(KNOWN_MAY).await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    let log = |text: &str| rig.runtime.write_log("web-node", "main", LogStream::Stdout, text).unwrap();
    log("one\ntwo\n");
    let client = port.known();
    let path = "/containerLogs/default/web-node/main";
    let get = async |query: &str| client.get(&format!("{path}?{query}")).await.unwrap();
    assert_eq!(get("tailLines=1").await, (200, "two\n".to_owned()));
    assert_eq!(get("limitBytes=2").await, (200, "on".to_owned()));
    assert_eq!(get("sinceTime=2030-01-01T00:00:00Z").await, (200, String::new()));
    assert!(get("timestamps=true&tail=1").await.1.starts_with("2026-01-02T03:04:05.678901234Z two"));
    assert_eq!(get("stream=Stderr").await.0, 400);

    let mut followed = body(&client, &format!("{path}?follow=true&tailLines=1")).await;
    assert_eq!(line(&mut followed).await, "two\n");
    log("three\n");
    assert_eq!(line(&mut followed).await, "three\n");
    rig.remove("web");
    let rest = timeout(DEADLINE, followed.collect()).await.expect("it ends").unwrap().to_bytes();
    assert!(rest.is_empty(), "{rest:?}");
    rig.until_gone("web").await;
}

#[tokio::test]
async fn followers_do_not_keep_it_from_ending() {
    let (mut rig, port) = started(KNOWN_MAY).await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    rig.runtime.write_log("web-node", "main", LogStream::Stdout, "one\n").unwrap();
    let mut followed = body(&port.known(), "/containerLogs/default/web-node/main?follow=true").await;
    assert_eq!(line(&mut followed).await, "one\n");
    rig.runtime.set_streaming_url(&echo().await);
    let (_stream, _) = port.stream("/exec/default/web-node/main?output=1").await;
    assert!(rig.terminate().await.success());
}

#[tokio::test]
async fn commands_run_and_streams_are_passed_on() {
    let (rig, port) = started(KNOWN_MAY).await;
    rig.runtime.set_streaming_url(&echo().await);
    rig.put(&pod("web"));
    rig.until_ready("web").await;
    for path in [
        "/exec/default/web-node/main?command=sh&input=1&output=1",
        "/attach/default/web-node/main?input=1&output=1",
        "/portForward/default/web-node",
    ] {
        let (mut stream, answer) = port.stream(path).await;
        assert_eq!(answer, "HTTP/1.1 101 Switching Protocols", "{path}");
        stream.write_all(b"ping").await.unwrap();
        let mut word = [0; 4];
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"ping");
    }
    for (path, status) in [
        ("/exec/default/web-node/none?output=1", 500),
        ("/exec/default/web-node/00000000-0000-0000-0000-000000000000/main?output=1", 500),
        ("/exec/default/none/main?output=1", 404),
        ("/exec/default/web-node/main", 400),
        ("/portForward/default/web-node/00000000-0000-0000-0000-000000000000", 404),
    ] {
        let answer = port.stream(path).await.1;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
    }
    let answers = |code| ExecAnswer {
        stdout: b"out".to_vec(),
        stderr: b"err".to_vec(),
        exit_code: code,
        ..ExecAnswer::default()
    };
    rig.runtime.on_exec(&["ls", "-l"], answers(0));
    rig.runtime.on_exec(&["false"], answers(1));
    let run = async |command: &str| {
        let path = format!("/run/default/web-node/main?cmd={command}");
        port.known().ask("POST", &path, &[]).await.unwrap()
    };
    assert_eq!(run("ls+-l").await, (200, "outerr".to_owned()));
    assert_eq!(run("false").await, (500, "command 'false' exited with 1: err".to_owned()));
}

#[tokio::test]
async fn without_an_api_server_the_defaults_let_nobody_do_anything() {
    let (rig, port) = started("authentication: {x509: {clientCAFile: clients.crt}}\n").await;
    assert_eq!(port.client(None).get("/pods").await.unwrap().0, 401);
    let token = [("authorization", "Bearer token")];
    assert_eq!(port.client(None).ask("GET", "/pods", &token).await.unwrap().0, 401);
    let refused = "Forbidden (user=admin, verb=get, resource=nodes, subresource(s)=[pods proxy])\n";
    assert_eq!(port.known().get("/pods").await.unwrap(), (403, refused.to_owned()));
    rig.until_log("Without an API server nobody may use the node's API").await;
}

#[tokio::test]
async fn a_new_certificate_is_served() {
    let (rig, mut port) = started(KNOWN_MAY).await;
    let old = port.known();
    assert_eq!(old.get("/healthz").await.unwrap().0, 200);
    port.authority = testkit::tls::Authority::new("another").unwrap();
    port.renew(&rig);
    std::fs::write(rig.file("clients.crt"), &port.authority.certificate).unwrap();
    let changed = async {
        while port.known().get("/healthz").await.ok().map(|(status, _)| status) != Some(200) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, changed).await.expect("the new certificates count");
    assert!(old.get("/healthz").await.is_err());
}

#[tokio::test]
async fn a_certificate_is_made_where_there_is_none() {
    let number = testkit::port::reserve().unwrap();
    let mut rig = Rig::prepare(&format!("enableServer: true\naddress: 127.0.0.1\nport: {number}\n")).await;
    rig.flags.push(format!("--cert-dir={}", rig.file("pki").display()));
    rig.launch();
    let made = async {
        while !rig.file("pki/kubelet.crt").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, made).await.expect("there is a certificate");
    let text = std::fs::read(rig.file("pki/kubelet.crt")).unwrap();
    assert!(rig.terminate().await.success());
    rig.launch();
    rig.until_log("berth is up").await;
    assert_eq!(std::fs::read(rig.file("pki/kubelet.crt")).unwrap(), text, "it is kept");
}

#[tokio::test]
async fn the_port_without_authentication_is_for_looking() {
    let number = testkit::port::reserve().unwrap();
    let rig = {
        let mut rig = Rig::prepare(&format!("address: 127.0.0.1\nreadOnlyPort: {number}\n")).await;
        rig.launch();
        rig.until_log("berth is up").await;
        rig
    };
    let ask = async |path: &str| {
        let mut stream = loop {
            match tokio::net::TcpStream::connect(("127.0.0.1", number)).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(ask("/pods").await.starts_with("HTTP/1.1 200 "));
    assert!(ask("/containerLogs/a/b/c").await.starts_with("HTTP/1.1 405 "));
    drop(rig);
}

#[tokio::test]
async fn what_cannot_be_served_is_told_at_the_start() {
    for (more, told) in [
        ("tlsCertFile: none.crt\n", "belong together"),
        ("tlsCertFile: none.crt\ntlsPrivateKeyFile: none.key\n", "cannot read"),
        ("tlsCurvePreferences: [25]\n", "none of tlsCurvePreferences is supported"),
        ("authentication: {x509: {clientCAFile: none.crt}}\n", "clientCAFile"),
    ] {
        let mut rig = Rig::prepare(&format!("enableServer: true\naddress: 127.0.0.1\n{more}")).await;
        rig.flags.push(format!("--cert-dir={}", rig.file("pki").display()));
        rig.launch();
        assert_eq!(rig.ended().await.code(), Some(1), "{more}");
        rig.until_log(told).await;
    }
}
