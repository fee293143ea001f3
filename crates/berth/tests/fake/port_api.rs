//! The node's own API, whose users the API server knows.

use kubeapi::{TokenSpec, Tokens};
use testkit::fake::LogStream;
use testkit::pod::pod;
use testkit::tls::Identity;
use types::{Pod, PodRef};

use crate::api_server::ApiRig;
use crate::port_rig::{Port, free_port, served_on};

#[tokio::test]
async fn the_api_server_says_who_asks_and_what_they_may_do() {
    let number = free_port();
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
