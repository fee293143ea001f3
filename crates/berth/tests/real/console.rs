//! What an administrator does with running pods through `berth solo`: logs, commands, files, ports, debugging, usage. All
//! of it shares one node, since starting that takes longest.

use std::fs;
use std::process::Stdio;

use kubeapi::{Client, Kubeconfig, Limits, Metrics, Options};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use telemetry::metrics::Registry;
use testkit::containerd::BUSYBOX;
use testkit::pod::pod;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::timeout;
use types::{ContainerId, Pod};

use crate::kubectl::Kubectl;
use crate::machine;
use crate::rig::{deadline, text};

/// A shell script that asks until it is told a line.
const ASKING: &str = "until read -t 1 line; do echo 'what?'; done";

/// A shell script that goes on until it is told to end.
fn for_ever(first: &str) -> [String; 3] {
    [
        "sh".to_owned(),
        "-c".to_owned(),
        format!("{first}; trap 'exit 0' TERM; while :; do sleep 100000 & wait $!; done"),
    ]
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn real_kubectl_reaches_what_runs() {
    let Some(kubectl) = Kubectl::start().await else { return };
    let main = for_ever("echo one; echo two; echo three");
    let page = for_ever("mkdir /www; echo hello > /www/page; httpd -p 8080 -h /www");
    let again =
        for_ever("if [ ! -e /kept/begun ]; then touch /kept/begun; echo first; exit 3; fi; echo second");
    let keeps = json!({"volumeMounts": [{"name": "kept", "mountPath": "/kept"}]});
    kubectl
        .create(&[
            pod("web")
                .container("main", &words(&main))
                .container("page", &words(&page))
                .with_metadata(&json!({"labels": {"app": "web"}})),
            pod("again")
                .container("main", &words(&again))
                .with_container("main", &keeps)
                .with_spec(&json!({"volumes": [{"name": "kept", "emptyDir": {}}]})),
        ])
        .await;
    kubectl.ok(&["wait", "--for=condition=Ready", "pod", "web", "--timeout=60s"]).await;

    logs(&kubectl).await;
    commands(&kubectl).await;
    standard_input_of_the_first_process(&kubectl).await;
    files(&kubectl).await;
    ports(&kubectl).await;
    usage(&kubectl).await;
    debugging(&kubectl).await;
    gone_clients(&kubectl).await;
    kubectl.finish().await;
}

async fn logs(kubectl: &Kubectl) {
    let log = async |more: &[&str]| kubectl.ok(&[&["logs", "web", "-c", "main"], more].concat()).await;
    // It runs before it has said anything.
    kubectl.until(&["logs", "web", "-c", "main"], |log| log == "one\ntwo\nthree\n").await;
    assert_eq!(log(&["--tail=1"]).await, "three\n");
    assert_eq!(log(&["--since=1h", "--limit-bytes=4"]).await, "one\n");
    assert_eq!(log(&["--since-time=2100-01-01T00:00:00Z"]).await, "");
    assert!(log(&["--timestamps", "--tail=1"]).await.ends_with("Z three\n"));
    let refused = kubectl.run(&["logs", "web", "-c", "none"]).await;
    assert!(text(&refused.stderr).contains("container none is not valid for pod web"));

    // What is followed ends with the container.
    let counts = "for i in 1 2 3; do echo $i; sleep 0.2; done";
    kubectl.create(&[pod("count").container("main", &["sh", "-c", counts]).restart_policy("Never")]).await;
    let begun = ["get", "pod", "count", "-o", "jsonpath={.status.phase}"];
    kubectl.until(&begun, |phase| matches!(phase, "Running" | "Succeeded")).await;
    assert_eq!(kubectl.ok(&["logs", "-f", "count"]).await, "1\n2\n3\n");

    kubectl.until(&["logs", "again"], |log| log == "second\n").await;
    assert_eq!(kubectl.ok(&["logs", "again", "--previous"]).await, "first\n");
}

async fn commands(kubectl: &Kubectl) {
    let ended =
        kubectl.run(&["exec", "web", "-c", "main", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]).await;
    assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(7), "out\n"));
    assert!(text(&ended.stderr).starts_with("err\n"), "{}", text(&ended.stderr));
    // The end of its input is told to the command, which still has something to say.
    let args = ["exec", "-i", "web", "-c", "main", "--", "sh", "-c", "cat; echo end"];
    assert_eq!(kubectl.ok_fed(&args, "hello\n").await, "hello\nend\n");
    let much = kubectl.run(&["exec", "web", "-c", "main", "--", "head", "-c", "5000000", "/dev/zero"]).await;
    assert_eq!(much.stdout.len(), 5_000_000);
    let shown = kubectl.in_terminal("exec -it web -c main -- tty").await;
    assert!(shown.contains("/dev/pts/"), "{shown}");
    let refused = kubectl.run(&["exec", "web", "-c", "main", "--", "/none"]).await;
    assert_ne!(refused.status.code(), Some(0));
}

async fn standard_input_of_the_first_process(kubectl: &Kubectl) {
    let script =
        format!("{ASKING}; echo \"got $line\"; while read line; do echo \"got $line\"; done; echo over");
    let echo = ["sh", "-c", &script];
    let talks = json!({"stdin": true, "stdinOnce": true});
    let talk = pod("talk").container("main", &echo).with_container("main", &talks).restart_policy("Never");
    kubectl.create(&[talk]).await;
    kubectl.ok(&["wait", "--for=condition=Ready", "pod", "talk", "--timeout=60s"]).await;
    let said = kubectl.ok_told(&["attach", "-i", "talk"], "hello\n", false).await;
    assert!(said.contains("got hello\n"), "{said}");
    let log = kubectl.until(&["logs", "talk"], |log| log.contains("over")).await;
    assert_eq!(log.replace("what?\n", ""), "got hello\nover\n");
}

async fn files(kubectl: &Kubectl) {
    let (there, back) = (kubectl.rig.dir().join("there"), kubectl.rig.dir().join("back"));
    let bytes: Vec<u8> =
        (0..3_000_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    fs::write(&there, &bytes).unwrap();
    let (from, to) = (there.to_str().unwrap(), back.to_str().unwrap());
    kubectl.ok(&["cp", from, "web:/tmp/file", "-c", "main"]).await;
    let size = kubectl.ok(&["exec", "web", "-c", "main", "--", "stat", "-c", "%s", "/tmp/file"]).await;
    assert_eq!(size.trim(), bytes.len().to_string());
    kubectl.ok(&["cp", "web:/tmp/file", to, "-c", "main"]).await;
    assert!(fs::read(&back).unwrap() == bytes, "it comes back as it went");
}

/// A port-forward, and the port at which it listens.
async fn forwarded(kubectl: &Kubectl) -> (Child, u16) {
    let mut child = kubectl.command(&["port-forward", "pod/web", ":8080"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(deadline(), lines.next_line()).await.expect("it says where it listens").unwrap();
    let line = line.expect("it says where it listens");
    let port = line.strip_prefix("Forwarding from 127.0.0.1:").and_then(|rest| rest.split_once(' '));
    let port = port.unwrap_or_else(|| panic!("{line}")).0.parse().unwrap();
    // What it says further is of no interest, but somebody has to read it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, port)
}

async fn ports(kubectl: &Kubectl) {
    let (mut child, port) = forwarded(kubectl).await;
    for _ in 0..2 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"GET /page HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        timeout(deadline(), stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
        assert!(answer.contains(" 200 OK") && answer.ends_with("hello\n"), "{answer}");
    }
    child.kill().await.unwrap();
}

async fn usage(kubectl: &Kubectl) {
    let node = kubectl.rig.node.name().to_owned();
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let number =
        |cell: &str| cell.trim_end_matches(|last: char| !last.is_ascii_digit()).parse::<u64>().unwrap();
    let shown = kubectl.ok(&["top", "node", "--no-headers"]).await;
    let row = cells(&shown);
    assert!(row[0] == node && number(&row[1]) > 0 && number(&row[3]) > 0, "{shown}");
    let shown = kubectl.ok(&["top", "pod", "web", "--containers", "--no-headers"]).await;
    let mut names: Vec<String> = shown.lines().map(|line| cells(line)[1].clone()).collect();
    names.sort_unstable();
    assert_eq!(names, ["main", "page"], "{shown}");
    let shown = kubectl.ok(&["top", "pod", "-A", "--no-headers"]).await;
    assert!(shown.lines().any(|line| cells(line)[..2] == ["default", "again"]), "{shown}");
    let shown = kubectl.ok(&["top", "pod", "-l", "app=web", "--no-headers"]).await;
    assert_eq!(shown.lines().map(|line| cells(line)[0].clone()).collect::<Vec<_>>(), ["web"]);
    let none = kubectl.run(&["top", "pod", "none"]).await;
    assert!(text(&none.stderr).contains("NotFound"), "{}", text(&none.stderr));
    // What works hard is seen to.
    let mut hard = kubectl.spawn(&["exec", "web", "-c", "page", "--", "sh", "-c", "while :; do :; done"]);
    let busy = |shown: &str| shown.lines().map(cells).any(|row| row[1] == "page" && number(&row[2]) > 200);
    kubectl.until(&["top", "pod", "web", "--containers", "--no-headers"], busy).await;
    hard.kill().await.unwrap();
    let raw = format!("/apis/metrics.k8s.io/v1beta1/nodes/{node}");
    let metrics: Value = serde_json::from_str(&kubectl.ok(&["get", "--raw", &raw]).await).unwrap();
    assert_eq!((&metrics["kind"], &metrics["metadata"]["name"]), (&json!("NodeMetrics"), &json!(node)));
    assert!(kubectl.ok(&["get", "podmetrics.metrics.k8s.io"]).await.contains("web"));
}

/// An ephemeral container. What kubectl before 1.22 sends was never stable, and no API server takes it any more.
async fn debugging(kubectl: &Kubectl) {
    let script = format!("{ASKING}; echo \"got $line\"; ps | grep -c httpd");
    if kubectl.minor >= 22 {
        let image = format!("--image={BUSYBOX}");
        let command = ["--", "sh", "-c", &script];
        let options = [
            "debug",
            "-i",
            "web",
            &image,
            "--image-pull-policy=IfNotPresent",
            "-c",
            "debugger",
            "--target=page",
        ];
        let said = kubectl.ok_told(&[&options[..], &command].concat(), "hello\n", true).await;
        assert!(said.contains("got hello\n"), "{said}");
        return;
    }
    let kubeconfig = Kubeconfig::read(&kubectl.rig.node.solo_dir().join("admin.kubeconfig")).unwrap();
    let options = Options { user_agent: "tester".to_owned(), limits: Limits::default() };
    let admin = Client::new(kubeconfig, options, &Metrics::register(&Registry::new())).unwrap();
    let debugger = json!({"name": "debugger", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent", "stdin": true,
        "command": ["sh", "-c", script], "targetContainerName": "page"});
    let patch = json!({"spec": {"ephemeralContainers": [debugger]}});
    admin.patch::<Pod>(Some("default"), "web", Some("ephemeralcontainers"), &patch).await.unwrap();
    let runs = [
        "get",
        "pod",
        "web",
        "-o",
        "jsonpath={.status.ephemeralContainerStatuses[0].state.running.startedAt}",
    ];
    kubectl.until(&runs, |since| !since.is_empty()).await;
    let said = kubectl.ok_told(&["attach", "-i", "web", "-c", "debugger"], "hello\n", true).await;
    assert!(said.contains("got hello\n"), "{said}");
}

/// Clients that are killed leave nothing open in berth, and nothing at work.
async fn gone_clients(kubectl: &Kubectl) {
    let berth = kubectl.rig.node.pid().unwrap();
    let open = || fs::read_dir(format!("/proc/{berth}/fd")).unwrap().count();
    let web = kubectl.json(&["get", "pod", "web"]).await;
    let statuses = web["status"]["containerStatuses"].as_array().unwrap();
    let id = |name: &str| {
        let status = statuses.iter().find(|status| status["name"] == name).unwrap();
        ContainerId::from(status["containerID"].as_str().unwrap().trim_start_matches("containerd://"))
    };
    let (main, before) = (id("main"), open());
    let sleeps = || {
        let named = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("54321"))
        };
        machine::processes(&main).iter().any(named)
    };
    let (forward, port) = forwarded(kubectl).await;
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    connection.write_all(b"GET ").await.unwrap();
    let exec = kubectl.spawn(&["exec", "-i", "web", "-c", "main", "--", "sleep", "54321"]);
    let mut follow =
        kubectl.command(&["logs", "-f", "web", "-c", "main"]).stdin(Stdio::null()).spawn().unwrap();
    let attach = kubectl.spawn(&["attach", "web", "-c", "main"]);
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    timeout(deadline(), lines.next_line()).await.expect("a line").unwrap();
    kubectl.rig.until_machine("the command runs", sleeps).await;
    assert!(open() > before);
    for client in [forward, exec, follow, attach] {
        let pid = Pid::from_raw(client.id().unwrap().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }
    kubectl.rig.until_machine("their connections are closed", || open() <= before).await;
    // What is copied or followed for a client counts as a request until it ends.
    let metrics = format!("/api/v1/nodes/{}/proxy/metrics", kubectl.rig.node.name());
    let at_work = |line: &str| {
        line.starts_with("kubelet_http_inflight_requests{")
            && line.contains("long_running=\"true\"")
            && !line.ends_with(" 0")
    };
    kubectl.until(&["get", "--raw", &metrics], |page| !page.lines().any(at_work)).await;
}
