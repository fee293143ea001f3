//! Attempts against servers of this machine.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use serde_json::{Value, json};
use testkit::pod::pod;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::exec::ExecError;

/// Commands answer by their first word.
#[derive(Default)]
struct Commands {
    run: Mutex<Vec<String>>,
    broken: AtomicU32,
}

impl Exec for Commands {
    async fn exec(&self, id: &ContainerId, command: Vec<String>, limit: Duration) -> Result<Ran, ExecError> {
        assert_eq!((id.as_str(), limit), ("c1", Duration::from_secs(1)));
        self.run.lock().unwrap().push(command.join(" "));
        let away = || ExecError("the runtime is away".to_owned());
        match command[0].as_str() {
            "true" => Ok(Ran::Ended { code: 0, output: b"all is well".to_vec() }),
            "false" => {
                Ok(Ran::Ended { code: 3, output: [b"no such table\n".to_vec(), vec![b'x'; KEPT]].concat() })
            }
            "sleep" => Ok(Ran::TimedOut),
            _ if self.broken.fetch_sub(1, Relaxed) > 1 => Err(away()),
            _ => Ok(Ran::Ended { code: 0, output: Vec::new() }),
        }
    }
}

fn errand(probe: &Value, ip: Option<&str>) -> Errand {
    let container = json!({
        "readinessProbe": probe,
        "env": [{"name": "WORD", "value": "hello"}, {"name": "FROM", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}],
        "ports": [{"name": "admin", "containerPort": 1}],
    });
    let pod = pod("web").container("main", &["run"]).with_container("main", &container).build();
    Errand {
        key: Key { pod: "u".into(), container: "main".into(), kind: Kind::Readiness },
        run: 1,
        due: Instant::now(),
        pod,
        id: "c1".into(),
        ip: ip.map(|ip| ip.parse().unwrap()),
    }
}

async fn attempt(probe: &Value) -> Outcome {
    errand(probe, Some("127.0.0.1")).run(&Commands::default()).await
}

fn failed(text: impl Into<String>) -> Outcome {
    Outcome::Fail(text.into())
}

#[tokio::test]
async fn commands() {
    let commands = Commands::default();
    let run = async |words: &[&str]| {
        let errand = errand(&json!({"exec": {"command": words}}), None);
        assert!(errand.is_command());
        errand.run(&commands).await
    };
    assert_eq!(run(&["true", "$(WORD)", "$(FROM)", "$(NONE)", "$$(WORD)"]).await, Outcome::Pass);
    let Outcome::Fail(text) = run(&["false"]).await else { panic!("exit code 3 is a failure") };
    assert!(text.starts_with("no such table\nxxx") && text.len() == KEPT);
    let late = "command timed out: \"sleep 10\" timed out after 1s";
    assert_eq!(run(&["sleep", "10"]).await, failed(late));
    let expected = ["true hello  $(NONE) $(WORD)", "false", "sleep 10"];
    assert_eq!(*commands.run.lock().unwrap(), expected, "a failure is an answer, and not asked for again");
}

#[tokio::test]
async fn what_cannot_be_asked_is_tried_three_times() {
    for (broken, outcome, tries) in
        [(1, Outcome::Pass, 1), (3, Outcome::Pass, 3), (9, Outcome::Void("the runtime is away".into()), 3)]
    {
        let commands = Commands { broken: broken.into(), ..Commands::default() };
        let got = errand(&json!({"exec": {"command": ["flaky"]}}), None).run(&commands).await;
        assert_eq!((got, commands.run.lock().unwrap().len()), (outcome, tries));
    }
    for (probe, ip, problem) in [
        (json!({"tcpSocket": {"port": 80}}), None, "the pod has no IP"),
        (
            json!({"httpGet": {"port": "none"}}),
            Some("127.0.0.1"),
            "container \"main\" has no port named \"none\"",
        ),
        (json!({"grpc": {"port": 0}}), Some("127.0.0.1"), "0 is no port"),
        (json!({}), Some("127.0.0.1"), "the probe does not say what to do"),
    ] {
        let outcome = errand(&probe, ip).run(&Commands::default()).await;
        assert_eq!(outcome, Outcome::Void(problem.to_owned()));
        let message = format!("Readiness probe errored and resulted in unknown state: {problem}");
        assert_eq!(outcome.failure(Kind::Readiness), Some(message));
    }
}

/// A server that gives each of these answers to one connection.
async fn server(answers: &[&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answers = answers.to_vec();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    port
}

#[tokio::test]
async fn http_answers() {
    let redirects = "Probe terminated redirects, Response body: gone";
    for (answer, outcome) in [
        ("HTTP/1.1 200 OK\r\n\r\n", Outcome::Pass),
        ("HTTP/1.1 299 Odd\r\n\r\n", Outcome::Pass),
        (
            "HTTP/1.1 304 Not Modified\r\n\r\n",
            Outcome::Warning("Probe terminated redirects, Response body: ".into()),
        ),
        ("HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\ngone", Outcome::Warning(redirects.into())),
        ("HTTP/1.1 400 Bad\r\n\r\nsecret", failed("HTTP probe failed with statuscode: 400")),
        ("HTTP/1.1 503 Oops\r\n\r\nsecret", failed("HTTP probe failed with statuscode: 503")),
    ] {
        let port = server(&[answer]).await;
        assert_eq!(attempt(&json!({"httpGet": {"port": port}})).await, outcome, "{answer}");
    }
    // A body that breaks off says nothing, three times.
    let broken = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nno";
    let port = server(&[broken; 3]).await;
    let outcome = attempt(&json!({"httpGet": {"port": port}})).await;
    assert!(matches!(outcome, Outcome::Void(_)), "{outcome:?}");
    let port = server(&[broken, broken, "HTTP/1.1 200 OK\r\n\r\n"]).await;
    assert_eq!(attempt(&json!({"httpGet": {"port": port}})).await, Outcome::Pass);
}

#[tokio::test]
async fn nobody_listens() {
    // Port 1 is nobody's.
    let refused = "dial tcp 127.0.0.1:1: connect: connection refused";
    let outcome = attempt(&json!({"httpGet": {"port": "admin", "path": "/x"}})).await;
    assert_eq!(outcome, failed(format!("Get \"http://127.0.0.1:1/x\": {refused}")));
    assert_eq!(attempt(&json!({"tcpSocket": {"port": "admin"}})).await, failed(refused));
    let Outcome::Fail(text) = attempt(&json!({"grpc": {"port": 1}})).await else { panic!("nobody serves") };
    assert!(text.starts_with("error: failed to connect service at \"127.0.0.1:1\""), "{text}");
    assert!(text.ends_with("connection refused"), "{text}");
}

#[tokio::test]
async fn tcp_connects() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(attempt(&json!({"tcpSocket": {"port": port}})).await, Outcome::Pass);
    let port = port.to_string();
    let named = json!({"tcpSocket": {"port": port, "host": "localhost"}});
    assert_eq!(errand(&named, None).run(&Commands::default()).await, Outcome::Pass);
}

#[tokio::test(start_paused = true)]
async fn nobody_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let begun = Instant::now();
    let outcome = attempt(&json!({"httpGet": {"port": port}, "timeoutSeconds": 3})).await;
    let late = format!(
        "Get \"http://127.0.0.1:{port}/\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    );
    assert_eq!((outcome, begun.elapsed().as_secs()), (failed(late), 3));
    let Outcome::Fail(text) = attempt(&json!({"grpc": {"port": port}})).await else {
        panic!("nobody answers")
    };
    assert!(text.starts_with("timeout: ") && text.contains(" within 1s"), "{text}");
}
