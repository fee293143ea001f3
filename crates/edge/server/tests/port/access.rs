//! Who gets in, and what they may do.

use testkit::tls::Authority;

use crate::rig::{Door, Rig};

const GOOD: &[(&str, &str)] = &[("authorization", "Bearer good")];
const BAD: &[(&str, &str)] = &[("authorization", "Bearer bad")];

#[tokio::test]
async fn who_is_let_in() {
    for (door, shows_nothing) in [(Door::AlwaysAllow, 401), (Door::Open, 200)] {
        let rig = Rig::start(door).await;
        rig.reviews.token("good", "prometheus");
        let foreign = Authority::new("authority").unwrap().client("admin", &[]).unwrap();
        let expired = rig.authority.expired_client("admin").unwrap();
        let (known, nobody) = (rig.known("admin"), rig.nobody());
        let (foreign, expired) = (rig.client(Some(&foreign)), rig.client(Some(&expired)));
        let nameless = rig.known("");
        for (client, headers, status) in [
            (&known, &[][..], 200),
            (&known, BAD, 200),
            (&nobody, &[], shows_nothing),
            (&nobody, GOOD, 200),
            (&nobody, BAD, 401),
            (&nobody, &[("authorization", "Basic YTpi")], shows_nothing),
            (&foreign, &[], 401),
            (&foreign, GOOD, 200),
            (&foreign, BAD, 401),
            (&expired, &[], 401),
            (&nameless, &[], shows_nothing),
        ] {
            for client in [client.clone(), client.clone().http2()] {
                let answer = client.ask("GET", "/pods", headers).await.unwrap();
                assert_eq!(answer.0, status, "{headers:?}: {}", answer.1);
            }
        }
        let (_, text) = rig.nobody().ask("GET", "/pods", BAD).await.unwrap();
        assert_eq!(text, "Unauthorized");
        let ends = rig.metric("apiserver_client_certificate_expiration_seconds_count").unwrap();
        assert!(ends >= 4.0);
    }
}

#[tokio::test]
async fn nothing_is_open_to_those_who_are_not_known() {
    let rig = Rig::start(Door::Usual).await;
    for path in ["/", "/healthz", "/metrics", "/pods", "/nothing", "/exec/a/b/c", "/logs/", "/debug/pprof/"] {
        for method in ["GET", "POST", "HEAD", "DELETE"] {
            assert_eq!(rig.nobody().ask(method, path, &[]).await.unwrap().0, 401, "{method} {path}");
        }
    }
    assert!(rig.reviews.state().asked.is_empty());
}

#[tokio::test]
async fn what_they_may_do_is_asked_once() {
    let rig = Rig::start(Door::Usual).await;
    rig.reviews.token("good", "prometheus");
    rig.reviews.allow("prometheus", "get", "metrics");
    rig.reviews.allow("prometheus", "get", "proxy");
    let get = async |path: &str| rig.nobody().ask("GET", path, GOOD).await.unwrap();
    for _ in 0..2 {
        assert_eq!(get("/metrics").await.0, 200);
        assert_eq!(get("/pods").await.0, 200);
        let (status, text) = get("/logs/").await;
        let refused = "Forbidden (user=prometheus, verb=get, resource=nodes, subresource(s)=[log])\n";
        assert_eq!((status, text.as_str()), (403, refused));
    }
    let asked = ["token good", "get metrics", "get pods", "get proxy", "get log"].map(|what| {
        if what.starts_with("token") { what.to_owned() } else { format!("prometheus {what} of node") }
    });
    assert_eq!(rig.reviews.state().asked, asked);
    for (series, value) in [
        ("apiserver_delegated_authn_request_total{code=\"201\"}", 1.0),
        ("apiserver_delegated_authz_request_total{code=\"201\"}", 4.0),
        ("authentication_token_cache_request_total{status=\"hit\"}", 5.0),
        ("authentication_token_cache_request_total{status=\"miss\"}", 1.0),
        ("authentication_token_cache_active_fetch_count{status=\"in_flight\"}", 0.0),
        (
            "kubelet_http_requests_total{long_running=\"false\",method=\"GET\",path=\"logs\",server_type=\"readwrite\"}",
            2.0,
        ),
    ] {
        assert_eq!(rig.metric(series), Some(value), "{series}");
    }
}

#[tokio::test]
async fn reading_is_not_enough_for_a_shell() {
    let rig = Rig::start(Door::Usual).await;
    rig.reviews.allow("reader", "get", "proxy");
    rig.reviews.allow("operator", "create", "proxy");
    let (reader, operator) = (rig.known("reader"), rig.known("operator"));
    for path in
        ["/exec/default/echo/app?output=1", "/attach/default/echo/app?output=1", "/portForward/default/echo"]
    {
        for method in ["GET", "POST"] {
            assert_eq!(reader.ask(method, path, &[]).await.unwrap().0, 403, "{method} {path}");
            // Allowed, and then no stream was asked for.
            assert_eq!(operator.ask(method, path, &[]).await.unwrap().0, 400, "{method} {path}");
        }
    }
    assert_eq!(reader.get("/containerLogs/default/web/app").await.unwrap().0, 200);
    assert_eq!(reader.get("/configz").await.unwrap().0, 200);
    assert_eq!(reader.ask("POST", "/run/default/web/app?cmd=ls", &[]).await.unwrap().0, 403);
}

#[tokio::test]
async fn an_api_server_that_is_away_lets_nobody_in() {
    let rig = Rig::start(Door::Usual).await;
    rig.reviews.token("good", "prometheus");
    rig.reviews.allow("admin", "get", "metrics");
    rig.reviews.state().away = true;
    assert_eq!(rig.nobody().ask("GET", "/metrics", GOOD).await.unwrap().0, 401);
    let (status, text) = rig.known("admin").get("/metrics").await.unwrap();
    let error = "Authorization error (user=admin, verb=get, resource=nodes, subresource=metrics)";
    assert_eq!((status, text.as_str()), (500, error));
    // It is not held against anybody afterwards.
    rig.reviews.state().away = false;
    assert_eq!(rig.known("admin").get("/metrics").await.unwrap().0, 200);
    assert_eq!(rig.nobody().ask("GET", "/metrics", GOOD).await.unwrap().0, 403);
    assert_eq!(rig.metric("apiserver_delegated_authn_request_total{code=\"<error>\"}"), Some(1.0));
}

#[tokio::test]
async fn without_an_api_server_nobody_may_do_anything() {
    let rig = Rig::start(Door::Alone).await;
    assert_eq!(rig.known("admin").get("/metrics").await.unwrap().0, 403);
    assert_eq!(rig.nobody().ask("GET", "/metrics", GOOD).await.unwrap().0, 401);
}

#[tokio::test]
async fn a_browser_sends_its_token_as_a_protocol() {
    let rig = Rig::start(Door::AlwaysAllow).await;
    rig.reviews.token("good", "somebody");
    // "good" in base64.
    let protocols = "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.Z29vZA";
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-protocol", protocols),
        ("authorization", "Basic c2VjcmV0"),
    ];
    let answer = rig.nobody().ask("GET", "/exec/default/refuses/app?output=1", &headers).await.unwrap();
    assert_eq!(answer, (404, "no stream".to_owned()));
    let heads = rig.runtime.heads.lock().unwrap();
    assert!(heads[0].contains("sec-websocket-protocol: v4.channel.k8s.io\r\n"), "{}", heads[0]);
    assert!(!heads[0].contains("Z29vZA") && !heads[0].contains("c2VjcmV0"), "{}", heads[0]);
}
