//! The examples: a web server, a job, a crash loop and a malformed manifest; what they print and where it is.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use testkit::pod::pod;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::rig::{Rig, container, deadline, id, links};

fn example(name: &str) -> String {
    let root = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    fs::read_to_string(root.join("../../examples").join(name)).unwrap()
}

/// Asks for a page until it is what is `wanted`: a server runs before it listens, and the clock before it has written.
async fn until_page(address: &str, path: &str, wanted: &str) {
    let ask = async || {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    let asked_until = async {
        while !ask().await.is_some_and(|answer| answer.contains(wanted)) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(timeout(deadline(), asked_until).await.is_ok(), "{address}{path} is not {wanted:?}");
}

#[tokio::test]
async fn real_the_examples_serve_end_and_crash() {
    let mut rig = Rig::start().await;
    for name in ["web.yaml", "job.yaml", "crash.yaml", "malformed.yaml"] {
        rig.node.put_manifest(name, &example(name)).unwrap();
    }
    let from_log = json!({"terminationMessagePolicy": "FallbackToLogsOnError"});
    let both = ["sh", "-c", "echo from the log; echo from the file > /dev/termination-log; exit 4"];
    rig.put(
        "both",
        &pod("both").restart_policy("Never").container("main", &both).with_container("main", &from_log),
    );
    let fine = ["sh", "-c", "echo not a failure"];
    rig.put(
        "fine",
        &pod("fine").restart_policy("Never").container("main", &fine).with_container("main", &from_log),
    );

    let web = rig.until_ready("web").await;
    let address = format!("{}:8080", web["status"]["podIP"].as_str().unwrap());
    until_page(&address, "/", "Served by berth").await;
    until_page(&address, "/time.txt", "200 OK").await;
    assert_eq!(container(&web, "write-page")["state"]["terminated"]["reason"], "Completed");
    assert_eq!(container(&web, "clock")["started"], true);
    let link = format!("{}_default_server-{}.log", rig.full("web"), id(&web, "server"));
    assert!(links().contains(&link), "{link} is missing");
    let log = fs::canonicalize(format!("/var/log/containers/{link}")).unwrap();
    assert!(
        log.ends_with("server/0.log") && log.starts_with(fs::canonicalize(rig.logs()).unwrap()),
        "{log:?}"
    );

    let job = rig.until_ended("job", "Succeeded").await;
    let ended = &container(&job, "count")["state"]["terminated"];
    assert_eq!((&ended["message"], &ended["exitCode"]), (&json!("counted to 3\n"), &json!(0)));
    assert_eq!(rig.log("job", "count", "").await, "step 1\nstep 2\nstep 3\n");
    assert_eq!(rig.log("job", "count", "?tailLines=1").await, "step 3\n");

    let both = rig.until_ended("both", "Failed").await;
    assert_eq!(container(&both, "main")["state"]["terminated"]["message"], "from the file\n");
    let fine = rig.until_ended("fine", "Succeeded").await;
    assert_eq!(container(&fine, "main")["state"]["terminated"]["message"], json!(null));

    let problems = rig.get("/problems").await;
    let problem = problems
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["origin"].as_str().unwrap().ends_with("malformed.yaml"));
    assert_eq!(problem.unwrap()["line"], 9, "{problems}");

    let crash = rig
        .until("crash", "restarted and waiting", |pod| {
            let status = container(pod, "fail");
            status["restartCount"].as_u64() >= Some(1)
                && status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
        })
        .await;
    let last = &container(&crash, "fail")["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&json!(3), &json!("Error")));
    assert!(last["message"].as_str().unwrap().contains("cannot open /etc/app.conf"), "{last}");
    assert!(rig.log("crash", "fail", "?previous=true").await.contains("cannot open"));
    let why = rig.get("/why?pod=crash").await;
    assert_eq!(why[0]["failures"][0]["reason"], "CrashLoopBackOff", "{why:#}");
    rig.finish().await;
}
