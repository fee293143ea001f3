use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use types::PodRef;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn config() -> SourceConfig {
    SourceConfig {
        static_pod_path: None,
        file_check_frequency: HOUR,
        static_pod_url: None,
        static_pod_url_headers: Vec::new(),
        http_check_frequency: HOUR,
        rules: Rules::default(),
    }
}

fn web(name: &str, image: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: a, image: '{image}'}}]}}\n"
    )
}

struct Running {
    changes: mpsc::Receiver<PodChange>,
    problems: watch::Receiver<Arc<Vec<ManifestProblem>>>,
}

impl Running {
    fn start(config: SourceConfig) -> Self {
        let sources = Sources::new(config, "node").unwrap();
        let problems = sources.problems();
        let (sender, changes) = mpsc::channel(1);
        tokio::spawn(sources.run(sender));
        Self { changes, problems }
    }

    fn files(path: &Path) -> Self {
        Self::start(SourceConfig { static_pod_path: Some(path.to_owned()), ..config() })
    }

    async fn next(&mut self) -> String {
        let next = tokio::time::timeout(Duration::from_secs(20), self.changes.recv()).await;
        let Ok(next) = next else { panic!("nothing more; problems: {:#?}", self.problems.borrow()) };
        match next.expect("a source that runs") {
            PodChange::Set(pod) => format!("set {}", PodRef::of(&pod).name.name),
            PodChange::Remove(pod) => format!("remove {}", pod.name.name),
            PodChange::Seen { source, whole: true } => format!("seen {source}"),
            PodChange::Seen { source, whole: false } => format!("seen {source} in part"),
        }
    }

    async fn problem(&mut self, reason: Reason) -> ManifestProblem {
        let found = self.problems.wait_for(|all| all.iter().any(|problem| problem.reason == reason));
        let found = tokio::time::timeout(Duration::from_secs(20), found).await;
        let all = found.expect("a problem in time").unwrap();
        all.iter().find(|problem| problem.reason == reason).unwrap().clone()
    }
}

/// As an editor or a deployment tool does it: written beside, then renamed over it. A file that is written in place may be
/// read while it is empty.
fn put(dir: &Path, name: &str, content: &str) {
    let beside = dir.join(format!(".{name}"));
    fs::write(&beside, content).unwrap();
    fs::rename(beside, dir.join(name)).unwrap();
}

#[tokio::test]
async fn files_come_change_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("a.yaml"), web("a", "b:1")).unwrap();
    let mut run = Running::files(dir.path());
    assert_eq!((run.next().await, run.next().await), ("set a-node".into(), "seen file".into()));

    put(dir.path(), "b.yaml", &web("b", "b:1"));
    assert_eq!(run.next().await, "set b-node");

    put(dir.path(), "a.yaml", &web("a", "b:2"));
    assert_eq!((run.next().await, run.next().await), ("remove a-node".into(), "set a-node".into()));

    put(dir.path(), "z-bad", "a: [");
    let bad = run.problem(Reason::Malformed).await;
    assert!(bad.path.ends_with("/z-bad") && bad.location.is_some(), "{bad}");
    assert_eq!(run.next().await, "seen file in part");

    fs::remove_file(at("b.yaml")).unwrap();
    assert_eq!(run.next().await, "remove b-node");
}

#[tokio::test]
async fn a_missing_directory_is_seen_empty_and_then_filled() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("etc/manifests");
    let mut run = Running::files(&path);
    assert_eq!(run.next().await, "seen file");
    fs::create_dir_all(&path).unwrap();
    put(&path, "a.yaml", &web("a", "b:1"));
    assert_eq!(run.next().await, "set a-node");
    fs::remove_dir_all(dir.path().join("etc")).unwrap();
    assert_eq!(run.next().await, "remove a-node");
    fs::create_dir_all(&path).unwrap();
    put(&path, "b.yaml", &web("b", "b:1"));
    assert_eq!(run.next().await, "set b-node");
}

#[tokio::test]
async fn the_second_of_two_names_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("1"), web("a", "b:1")).unwrap();
    fs::write(dir.path().join("2"), web("a", "b:2")).unwrap();
    let mut run = Running::files(dir.path());
    assert_eq!((run.next().await, run.next().await), ("set a-node".into(), "seen file".into()));
    let duplicate = run.problem(Reason::Duplicate).await;
    assert!(duplicate.path.ends_with("/2") && duplicate.message.contains("/1 has one"), "{duplicate}");
    fs::remove_file(dir.path().join("1")).unwrap();
    assert_eq!((run.next().await, run.next().await), ("remove a-node".into(), "set a-node".into()));
}

/// Answers one request per text, then the last one for ever. What was asked is kept.
async fn server(answers: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/pods", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut answers: VecDeque<String> = answers.into();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            log.lock().unwrap().push(String::from_utf8(request).unwrap());
            let answer = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, asked)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_url_is_read_again_and_again() {
    let pods = |names: &[&str]| {
        let items: Vec<String> = names
            .iter()
            .map(|name| {
                format!("{{metadata: {{name: {name}}}, spec: {{containers: [{{name: a, image: 'b:1'}}]}}}}")
            })
            .collect();
        format!("apiVersion: v1\nkind: PodList\nitems: [{}]\n", items.join(", "))
    };
    let (url, asked) = server(vec![
        "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".into(),
        "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n".into(),
        ok(&web("a", "b:1")),
        "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".into(),
        ok(&pods(&["b", "c"])),
        ok(&pods(&[])),
    ])
    .await;
    let mut run = Running::start(SourceConfig {
        static_pod_url: Some(url),
        static_pod_url_headers: vec![("X-Node".into(), "one".into()), ("X-Node".into(), "two".into())],
        http_check_frequency: Duration::from_millis(5),
        ..config()
    });
    assert_eq!((run.next().await, run.next().await), ("set a-node".into(), "seen http".into()));
    assert_eq!(run.next().await, "remove a-node");
    assert_eq!((run.next().await, run.next().await), ("set b-node".into(), "set c-node".into()));
    let mut gone = [run.next().await, run.next().await];
    gone.sort();
    assert_eq!(gone, ["remove b-node", "remove c-node"]);
    let asked = asked.lock().unwrap();
    assert!(asked[0].starts_with("GET /pods HTTP/1.1\r\n") && asked[2].starts_with("GET /there "));
    assert!(asked[0].contains("x-node: one\r\nx-node: two\r\n"), "{}", asked[0]);
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let (url, _) = server(vec![format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
        50 << 20,
        "x".repeat(11 << 20)
    )])
    .await;
    let mut run = Running::start(SourceConfig { static_pod_url: Some(url), ..config() });
    let problem = run.problem(Reason::FetchFailed).await;
    assert!(problem.message.contains("longer than"), "{problem}");
}

#[test]
fn the_url_is_checked() {
    let bad = SourceConfig { static_pod_url: Some("ftp://x".into()), ..config() };
    assert!(Sources::new(bad, "n").unwrap_err().to_string().contains("staticPodURL"));
    let both = SourceConfig {
        static_pod_path: Some("/m".into()),
        static_pod_url: Some("http://x".into()),
        ..config()
    };
    assert_eq!(Sources::new(both, "n").unwrap().configured(), [SourceKind::File, SourceKind::Http]);
}
