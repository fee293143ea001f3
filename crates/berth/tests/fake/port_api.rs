//! The node's own API, whose users the API server knows.

use bytes::Bytes;
use http_body_util::Full;
use kubeapi::{TokenSpec, Tokens};
use testkit::fake::LogStream;
use testkit::pod::pod;
use testkit::tls::Identity;
use tokio::time::timeout;
use types::{Pod, PodRef};

use crate::api_server::ApiRig;
use crate::port::line;
use crate::port_rig::{Port, served_on};
use crate::rig::DEADLINE;

#[tokio::test]
async fn the_api_server_says_who_asks_and_what_they_may_do() {
    let number = testkit::port::reserve().unwrap();
    let more = "authentication: {x509: {clientCAFile: clients.crt}}\n";
    let mut this = ApiRig::prepare(&served_on(number, more)).await;
    if this.server.is_real() {
        return;
    }
    let port = Port::prepare(&this.rig, number);
    let pki = this.server.dir().join("pki");
    std::fs::copy(pki.join("ca.crt"), this.rig.file("clients.crt")).unwrap();
    this.rig.launch();
    let node = this.server.until_node("registered", |node| !node.is_null()).await;
    assert_eq!(node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"], number);
    port.until_served().await;
    this.server.create(&pod("web")).await;
    this.server.until_ready("web").await;
    this.rig.runtime.write_log("web", "main", LogStream::Stdout, "line\n").unwrap();

    let identity = |name: &str| {
        let read = |ending: &str| std::fs::read_to_string(pki.join(format!("{name}.{ending}"))).unwrap();
        Identity { certificate: read("crt"), key: read("key") }
    };
    let (admin, node) = (port.client(Some(&identity("admin"))), port.client(Some(&identity("node-node"))));
    for path in ["/metrics", "/pods", "/containerLogs/default/web/main"] {
        assert_eq!(admin.get(path).await.unwrap().0, 200, "{path}");
        assert_eq!(node.get(path).await.unwrap().0, 403, "{path}");
    }

    // A token of a pod's service account is somebody's, who may do nothing; one that is nobody's is not let in.
    let tokens = Tokens::new(this.server.client.clone());
    let object: Pod = serde_json::from_value(this.server.pod("web").await).unwrap();
    let spec = TokenSpec {
        pod: PodRef::of(&object),
        service_account: "default".to_owned(),
        audiences: Vec::new(),
        expiration_seconds: None,
    };
    let token = tokens.get(&spec).await.unwrap();
    for (token, status) in [(token.expose(), 403), ("nobodys", 401)] {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        for _ in 0..2 {
            assert_eq!(port.client(None).ask("GET", "/metrics", &headers).await.unwrap().0, status);
        }
    }
    let asked = |what: &str| this.server.requests().iter().filter(|path| path.ends_with(what)).count();
    assert_eq!(asked("/tokenreviews"), 2, "each is asked about once");
    // The administrator's three, the node's three (what is refused as `pods` is asked for as `proxy`), the token's one.
    assert_eq!(asked("/subjectaccessreviews"), 7);

    this.server.stop().await;
    assert_eq!(admin.get("/metrics").await.unwrap().0, 200, "it was allowed, and still is");
    assert_eq!(admin.get("/logs/").await.unwrap().0, 500, "nobody can say");
}

#[tokio::test]
async fn a_stream_outlives_the_token_that_began_it() {
    let number = testkit::port::reserve().unwrap();
    let more = "authentication: {webhook: {cacheTTL: 1ms}}\nauthorization: {mode: AlwaysAllow}\n";
    let mut this = ApiRig::prepare(&served_on(number, more)).await;
    if this.server.is_real() {
        return;
    }
    let port = Port::prepare(&this.rig, number);
    this.rig.launch();
    port.until_served().await;
    for name in ["web", "asks"] {
        this.server.create(&pod(name)).await;
        this.server.until_ready(name).await;
    }
    let log = |text: &str| this.rig.runtime.write_log("web", "main", LogStream::Stdout, text).unwrap();
    log("one\n");
    let object: Pod = serde_json::from_value(this.server.pod("asks").await).unwrap();
    let spec = TokenSpec {
        pod: PodRef::of(&object),
        service_account: "default".to_owned(),
        audiences: Vec::new(),
        expiration_seconds: None,
    };
    let token = Tokens::new(this.server.client.clone()).get(&spec).await.unwrap();
    let bearer = format!("Bearer {}", token.expose());
    let path = "/containerLogs/default/web/main?follow=true";
    let request = http::Request::get(path).header("authorization", &bearer);
    let client = port.client(None);
    let answer = client.send(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut followed = answer.into_body();
    assert_eq!(line(&mut followed).await, "one\n");

    // It was good as long as its pod was there.
    this.server.delete("asks", Some(0)).await;
    this.server.until_gone("asks").await;
    let refused = async {
        let headers = [("authorization", bearer.as_str())];
        while client.ask("GET", "/pods", &headers).await.unwrap().0 != 401 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, refused).await.expect("the token is good for nothing new");
    log("two\n");
    assert_eq!(line(&mut followed).await, "two\n");
}
