//! Requests, credentials and errors.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kubeapi::{ApiErrorKind, Deletion, Limits};
use serde_json::json;
use telemetry::metrics::Registry;

use crate::server::{Answer, Server, client, failure, replace, within};

#[tokio::test]
async fn asks_as_the_api_wants_it() {
    let server = Server::start(|asked| {
        Answer::Json(200, json!({"metadata": {"name": "a", "managedFields": [{}]}, "echo": asked.path}))
    })
    .await;
    let cluster = format!("{{server: 'http://{}/below/it/'}}", server.address);
    let client = server.client_of(&cluster, "{token: sesame}");
    let pod: Pod = client.get(Some("default"), "web").await.unwrap();
    assert_eq!(pod.metadata.managed_fields, None);
    client.get_cached::<Node>(None, "worker").await.unwrap();
    client.create(Some("default"), &pod).await.unwrap();
    let patch = json!({"status": {"phase": "Running"}});
    client.patch::<Pod>(Some("default"), "web", Some("status"), &patch).await.unwrap();
    let deletion = Deletion { uid: Some("u".into()), grace_period_seconds: Some(0) };
    client.delete::<Pod>(Some("default"), "web", &deletion).await.unwrap();

    let asked = server.asked();
    let what: Vec<_> = asked.iter().map(|asked| asked.what().replace("/below/it/api/v1", "")).collect();
    assert_eq!(
        what,
        [
            "GET /namespaces/default/pods/web",
            "GET /nodes/worker",
            "POST /namespaces/default/pods",
            "PATCH /namespaces/default/pods/web/status",
            "DELETE /namespaces/default/pods/web",
        ]
    );
    for asked in &asked {
        assert_eq!(asked.header("authorization"), "Bearer sesame");
        assert_eq!(asked.header("user-agent"), "berth/test");
        assert_eq!(asked.header("accept"), "application/json");
        assert_eq!(asked.header("accept-encoding"), "");
    }
    assert_eq!(asked[1].query["resourceVersion"], "0");
    assert_eq!(asked[3].header("content-type"), "application/strategic-merge-patch+json");
    assert_eq!(asked[3].body, patch);
    assert_eq!(asked[4].body["gracePeriodSeconds"], 0);
    assert_eq!(asked[4].body["preconditions"], json!({"uid": "u"}));
    server.has_metric("rest_client_requests_total{code=\"200\",host=\"HOST\",method=\"GET\"} 2");
    server.has_metric("rest_client_request_size_bytes_count{host=\"HOST\",verb=\"PATCH\"} 1");
}

#[tokio::test]
async fn answers_become_errors() {
    let server = Server::start(|asked| match asked.path.rsplit('/').next().unwrap() {
        "missing" => failure(404, "NotFound", "configmaps \"missing\" not found"),
        "odd" => Answer::Json(200, json!([1])),
        "down" => Answer::Text(503, &[], "upstream is down"),
        _ => Answer::Never,
    })
    .await;
    let limits = Limits { deadline: Duration::from_millis(300), ..Limits::default() };
    let client = server.client().with_limits(limits);
    let get = async |name: &str| client.get::<ConfigMap>(Some("n"), name).await.unwrap_err();
    let missing = get("missing").await;
    assert_eq!((missing.kind, missing.code), (ApiErrorKind::NotFound, 404));
    assert_eq!(missing.to_string(), "configmaps \"missing\" not found");
    assert_eq!(get("odd").await.kind, ApiErrorKind::Malformed);
    let down = get("down").await;
    assert_eq!(down.kind, ApiErrorKind::Server { retry_after: None });
    assert!(down.to_string().ends_with("503 Service Unavailable: upstream is down"));
    let slow = get("slow").await;
    assert_eq!(slow.kind, ApiErrorKind::Timeout);
    assert_eq!(
        slow.to_string(),
        format!("the API server http://{} did not answer within 300ms", server.address)
    );
}

#[tokio::test]
async fn a_server_that_is_away_is_named() {
    let client = client("{server: 'http://127.0.0.1:1'}", "{}", &Registry::new());
    let error = client.get::<Node>(None, "a").await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unreachable);
    assert!(error.is_transient());
    let text = error.to_string();
    assert!(text.starts_with("cannot reach the API server http://127.0.0.1:1: "), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
}

#[tokio::test]
async fn comes_back_when_the_server_says_so_within_the_deadline() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let server = Server::start(move |asked| match asked.path.rsplit('/').next().unwrap() {
        "later" if counted.fetch_add(1, SeqCst) == 0 => {
            Answer::Text(429, &[("retry-after", "0")], "Too many requests, please try again later.")
        }
        "never" => {
            Answer::Text(429, &[("retry-after", "3600")], "Too many requests, please try again later.")
        }
        _ => Answer::Json(200, json!({"metadata": {"name": "later"}})),
    })
    .await;
    let client = server.client();
    within(client.get::<Node>(None, "later")).await.unwrap();
    assert_eq!(count.load(SeqCst), 2);
    server.has_metric("rest_client_request_retries_total{code=\"429\",host=\"HOST\",verb=\"GET\"} 1");
    let error = within(client.get::<Node>(None, "never")).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
}

#[tokio::test]
async fn a_token_that_expired_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "old").unwrap();
    let server = Server::start(|asked| match asked.header("authorization") {
        "Bearer new" => Answer::Json(200, json!({"metadata": {"name": "a"}})),
        _ => failure(401, "Unauthorized", "Unauthorized"),
    })
    .await;
    let cluster = format!("{{server: 'http://{}'}}", server.address);
    let client = server.client_of(&cluster, &format!("{{tokenFile: '{}'}}", token.display()));
    let error = client.get::<Node>(None, "a").await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unauthorized);
    assert_eq!(server.asked().len(), 1, "the same token is not tried twice");
    replace(&token, "new");
    client.get::<Node>(None, "a").await.unwrap();
    std::fs::remove_file(&token).unwrap();
    client.get::<Node>(None, "a").await.unwrap();
}

#[tokio::test]
async fn a_plugin_is_asked_again_after_401() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("plugin");
    let script = "#!/bin/sh
printf x >> \"$0.runs\"
n=$(wc -c < \"$0.runs\")
echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"'$n'\"}}'
";
    std::fs::write(&plugin, script).unwrap();
    std::fs::set_permissions(&plugin, std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::start(|asked| match asked.header("authorization") {
        "Bearer 1" => failure(401, "Unauthorized", "Unauthorized"),
        _ => Answer::Json(200, json!({"metadata": {"name": "a"}})),
    })
    .await;
    let cluster = format!("{{server: 'http://{}'}}", server.address);
    let user = format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: '{}', interactiveMode: Never}}}}",
        plugin.display()
    );
    let client = server.client_of(&cluster, &user);
    within(client.get::<Node>(None, "a")).await.unwrap();
    within(client.get::<Node>(None, "a")).await.unwrap();
    let tokens: Vec<_> =
        server.asked().iter().map(|asked| asked.header("authorization").to_owned()).collect();
    assert_eq!(tokens, ["Bearer 1", "Bearer 2", "Bearer 2"]);
    server.has_metric("rest_client_exec_plugin_call_total{call_status=\"no_error\",code=\"0\"} 2");
    server.has_metric("rest_client_exec_plugin_ttl_seconds +Inf");
}

#[tokio::test]
async fn basic_credentials_and_a_proxy() {
    // The proxy refuses: that it is asked at all is the point.
    let server = Server::start(|_| Answer::Text(502, &[], "")).await;
    let cluster = format!("{{server: 'http://api.invalid', proxy-url: 'http://{}'}}", server.address);
    let client = server.client_of(&cluster, "{username: me, password: p}");
    let error = within(client.get::<Node>(None, "a")).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unreachable, "{error}");
    assert_eq!(server.asked()[0].method, "CONNECT");
    let server = Server::start(|_| Answer::Json(200, json!({"metadata": {}}))).await;
    let cluster = format!("{{server: 'http://{}'}}", server.address);
    server.client_of(&cluster, "{username: me, password: p}").get::<Node>(None, "a").await.unwrap();
    assert_eq!(server.asked()[0].header("authorization"), "Basic bWU6cA==");
}
