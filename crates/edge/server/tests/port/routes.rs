//! The routes, and how they answer.

use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::rig::{Door, Rig, read_only};

#[tokio::test]
async fn answers_of_the_port() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    std::fs::write(rig.dir.path().join("log/syslog"), "line\n").unwrap();
    std::fs::write(rig.dir.path().join("secret"), "secret").unwrap();
    let client = rig.known("admin");
    for (method, path, status, text) in [
        ("GET", "/healthz", 200, "ok"),
        ("GET", "/healthz?verbose=true", 200, "[+]syncloop ok"),
        ("GET", "/healthz/ping", 200, "ok"),
        ("GET", "/healthz/nothing", 404, ""),
        ("GET", "/pods", 200, "\"name\":\"web\""),
        ("GET", "/pods/", 200, "\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{}"),
        ("POST", "/pods", 405, ""),
        ("GET", "/runningpods/", 200, "\"name\":\"runs\""),
        ("GET", "/metrics", 200, "kubelet_http_requests_total"),
        ("GET", "/metrics/probes", 200, "probe 0"),
        ("GET", "/metrics/resource", 200, "page{page=\"Resource\"} 1\n"),
        ("GET", "/metrics/cadvisor", 200, "page{page=\"Cadvisor\"} 1\n"),
        ("GET", "/stats/summary", 200, "{\"only\":false}"),
        ("GET", "/stats/summary?only_cpu_and_memory=true", 200, "{\"only\":true}"),
        ("POST", "/stats/summary", 200, "{\"only\":false}"),
        ("PUT", "/stats/summary", 405, ""),
        ("GET", "/stats/", 404, ""),
        ("GET", "/configz", 200, "{\"kubeletconfig\":{\"maxPods\":110}}"),
        ("GET", "/flagz", 200, "\nmax-pods=110\n"),
        ("GET", "/statusz", 200, "Binary version: v1.36.0+berth.0.1.0"),
        ("GET", "/spec/", 404, ""),
        ("GET", "/", 404, ""),
        ("GET", "/containerLogs/default/web/app?tailLines=3&timestamps=true", 200, "tail_lines: Some(3)"),
        ("GET", "/containerLogs/default/web/app?tailLines=x", 400, "Unable to decode query."),
        ("GET", "/containerLogs/default/web/app?tailLines=-1", 422, "Invalid request."),
        ("GET", "/containerLogs/default/web/none", 404, "no default/web/none"),
        ("GET", "/containerLogs/default/web/..%2F..%2Fsecret", 404, "no default/web/../../secret"),
        ("GET", "/containerLogs/default/web", 404, ""),
        ("POST", "/containerLogs/default/web/app", 405, ""),
        ("GET", "/logs/", 200, "<a href=\"syslog\">syslog</a>"),
        ("GET", "/logs/syslog", 200, "line\n"),
        ("GET", "/logs/../secret", 400, "invalid URL path"),
        ("GET", "/logs/..%2Fsecret", 400, "invalid URL path"),
        ("GET", "/logs/%2e%2e/secret", 400, "invalid URL path"),
        ("GET", "/logs//etc/passwd", 404, ""),
        ("POST", "/run/default/web/app?cmd=ls+-l", 200, "[\"ls\", \"-l\"]"),
        ("POST", "/run/default/web/uid/app?cmd=ls", 200, "[\"ls\"]"),
        ("POST", "/run/default/none/app?cmd=ls", 404, "pod does not exist"),
        ("GET", "/run/default/web/app?cmd=ls", 405, ""),
        (
            "POST",
            "/checkpoint/default/web/app?timeout=1&timeout=7",
            200,
            "{\"items\":[\"/checkpoints/checkpoint-web_default-app-",
        ),
        ("POST", "/checkpoint/default/web/app?timeout=x", 404, "cannot parse value of timeout parameter"),
        ("POST", "/checkpoint/default/none/app", 404, "pod does not exist"),
        ("GET", "/debug/pprof/cmdline", 200, "port-"),
        ("GET", "/debug/pprof/", 200, "profile"),
        ("GET", "/debug/pprof/heap", 501, "/debug/pprof/profile"),
        ("GET", "/debug/pprof/profile?seconds=3601", 400, "3600"),
        ("GET", "/debug/pprof/nothing", 404, "nothing"),
        ("GET", "/debug/flags/v", 406, ""),
    ] {
        let (answered, body) = client.ask(method, path, &[]).await.unwrap();
        assert_eq!(answered, status, "{method} {path}: {body}");
        assert!(body.contains(text), "{method} {path}: {body}");
        assert!(!body.contains("root:"), "{path}");
    }
    let asked = rig.agent.asked.lock().unwrap();
    assert!(
        asked.iter().any(|asked| asked.starts_with("checkpoint ") && asked.ends_with(".tar 7")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn what_is_not_well_is_told() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    *rig.agent.health.lock().unwrap() = Err("the secret reason".to_owned());
    let client = rig.known("admin");
    let (status, text) = client.get("/healthz").await.unwrap();
    assert_eq!(status, 500);
    assert!(text.contains("[-]syncloop failed: reason withheld") && !text.contains("secret"), "{text}");
    assert_eq!(client.get("/healthz?exclude=syncloop").await.unwrap(), (200, "ok".to_owned()));
    let answer = client.get("/healthz/syncloop").await.unwrap();
    assert_eq!(answer, (500, "internal server error: the secret reason\n".to_owned()));
}

#[tokio::test]
async fn what_is_used_is_told_as_json_and_as_text() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    let client = rig.known("admin");
    let text = "text/plain; version=0.0.4; charset=utf-8";
    for (path, kind) in
        [("/stats/summary", "application/json"), ("/metrics/resource", text), ("/metrics/cadvisor", text)]
    {
        let request = http::Request::get(path).body(http_body_util::Full::<bytes::Bytes>::default()).unwrap();
        let answer = client.send(request).await.unwrap();
        assert_eq!(answer.headers()["content-type"], kind, "{path}");
    }
    *rig.agent.unread.lock().unwrap() = Some("the cgroups hang".to_owned());
    assert_eq!(client.get("/stats/summary").await.unwrap(), (500, "the cgroups hang".to_owned()));
}

#[tokio::test]
async fn one_profile_of_cpu_time_at_once() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    let ask = async || {
        let path = "/debug/pprof/profile?seconds=1";
        let request = http::Request::get(path).body(http_body_util::Full::<bytes::Bytes>::default()).unwrap();
        let answer = rig.known("admin").send(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        (parts.status.as_u16(), body.collect().await.unwrap().to_bytes())
    };
    let (one, other) = tokio::join!(ask(), ask());
    let ((status, profile), (refused, why)) = if one.0 == 200 { (one, other) } else { (other, one) };
    let why = String::from_utf8_lossy(&why);
    if status == 500 {
        println!("left out: {why}");
        return;
    }
    assert_eq!((status, &profile[..2]), (200, &b"\x1f\x8b"[..]), "it is compressed");
    assert_eq!((refused, &*why), (500, "Could not enable CPU profiling: cpu profiling already in use"));
}

#[tokio::test]
async fn what_is_turned_off_says_so() {
    let paths = [
        "/run/a/b/c",
        "/exec/a/b/c",
        "/attach/a/b/c",
        "/portForward/a/b",
        "/containerLogs/a/b/c",
        "/runningpods/",
        "/debug/pprof/heap",
        "/logs/",
        "/logs/a",
    ];
    let rig = Rig::with(Door::AlwaysAllow, |settings| settings.debugging = false).await;
    let client = rig.known("admin");
    for path in paths {
        assert_eq!(
            client.get(path).await.unwrap(),
            (405, "Debug endpoints are disabled.\n".to_owned()),
            "{path}"
        );
    }
    assert_eq!(client.get("/pods").await.unwrap().0, 200);
    assert_eq!(client.get("/configz").await.unwrap().0, 404);

    let rig = Rig::with(Door::AlwaysAllow, |settings| {
        (settings.system_logs, settings.profiling, settings.debug_flags) = (false, false, false);
        (settings.flagz, settings.statusz, settings.checkpoint) = (false, false, false);
    })
    .await;
    let client = rig.known("admin");
    for (path, status, text) in [
        ("/logs/", 405, "logs endpoint is disabled.\n"),
        ("/debug/pprof/", 405, "profiling endpoint is disabled.\n"),
        ("/debug/flags/v", 405, "flags endpoint is disabled.\n"),
        ("/flagz", 404, ""),
        ("/statusz", 404, ""),
        ("/checkpoint/a/b/c", 404, ""),
    ] {
        assert_eq!(client.get(path).await.unwrap(), (status, text.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn how_much_is_logged_can_be_changed() {
    use bytes::Bytes;
    use http_body_util::Full;
    let rig = Rig::start(Door::AlwaysAllow).await;
    for (body, status, set) in [("6", 200, Some(6)), ("much", 400, Some(6))] {
        let request =
            http::Request::put("/debug/flags/v").body(Full::new(Bytes::from_static(body.as_bytes())));
        let answer = rig.known("admin").send(request.unwrap()).await.unwrap();
        assert_eq!((answer.status().as_u16(), *rig.verbosity.lock().unwrap()), (status, set));
    }
}

#[tokio::test]
async fn logs_of_services_are_asked_for_by_query() {
    let rig = Rig::with(Door::AlwaysAllow, |settings| settings.log_query = true).await;
    std::fs::write(rig.dir.path().join("log/no-such-unit.log"), "line\n").unwrap();
    let client = rig.known("admin");
    for (path, status, text) in [
        ("/logs/?query=no-such-unit", 200, "line\n"),
        ("/logs/?query=/no-such-unit.log", 200, "line\n"),
        ("/logs/?query=/none.log", 406, "none.log"),
        ("/logs/?query=/../secret", 400, "invalid URL path"),
        ("/logs/?query=a%3Bb", 406, "cannot be the name of a service"),
        ("/logs/?query=a&tailLines=x", 400, "tailLines"),
        ("/logs/x?query=a", 406, "path not allowed in query mode"),
        ("/logs/no-such-unit.log", 200, "line\n"),
    ] {
        let (answered, body) = client.get(path).await.unwrap();
        assert_eq!(answered, status, "{path}: {body}");
        assert!(body.contains(text), "{path}: {body}");
    }
}

#[tokio::test]
async fn the_port_without_authentication_shows_and_does_nothing() {
    let (address, _stop) = read_only().await;
    for (path, status) in [
        ("/healthz", 200),
        ("/pods", 200),
        ("/metrics", 200),
        ("/metrics/probes", 200),
        ("/metrics/resource", 200),
        ("/metrics/cadvisor", 200),
        ("/stats/summary", 200),
        ("/exec/default/web/app", 405),
        ("/containerLogs/default/web/app", 405),
        ("/logs/", 405),
        ("/configz", 404),
        ("/checkpoint/default/web/app", 404),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        if path == "/metrics" {
            assert!(answer.contains("server_type=\"readonly\""), "{answer}");
        }
    }
}
