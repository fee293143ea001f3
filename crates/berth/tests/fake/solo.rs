//! `berth solo`: the API server and the agent as one process.

use serde_json::Value;
use testkit::fake::LogStream;
use testkit::pod::pod;
use testkit::tls::{Identity, TlsClient};

use crate::api_server::Server;
use crate::port_rig::{Port, served_on};
use crate::rig::{DEADLINE, Rig, condition};

#[tokio::test]
async fn one_process_is_a_node_of_its_own_cluster() {
    let mut server = Server::start().await;
    server.stop().await;
    let mut rig = Rig::prepare("nodeLeaseDurationSeconds: 2\n").await;
    let dir = server.dir().display().to_string();
    let address = server.address().to_string();
    let command = ["solo", "--dir", &dir, "--listen", &address, "--"];
    let ready = |node: &Value| condition(node, "Ready")["status"] == "True";
    rig.launch_as(&command);
    let first = rig.until("the node is ready", DEADLINE, || server.node(), ready).await;
    rig.put(&pod("web"));
    rig.until_ready("web").await;

    assert!(rig.terminate().await.success());
    assert_eq!(server.node().await, Value::Null, "both have ended");
    rig.launch_as(&command);
    let again = rig.until("the node is ready", DEADLINE, || server.node(), ready).await;
    rig.until_ready("web").await;
    assert_eq!(again["metadata"]["uid"], first["metadata"]["uid"]);
    assert_eq!(rig.journal("web"), ["RunPodSandbox", "CreateContainer main", "StartContainer main"]);
    rig.assert_proper();
}

#[tokio::test]
async fn the_nodes_api_knows_the_users_of_its_cluster() {
    let mut server = Server::start().await;
    server.stop().await;
    let number = testkit::port::reserve().unwrap();
    let mut rig = Rig::prepare(&served_on(number, "")).await;
    let port = Port::prepare(&rig, number);
    let (dir, address) = (server.dir().display().to_string(), server.address().to_string());
    rig.launch_as(&["solo", "--dir", &dir, "--listen", &address, "--"]);
    port.until_served().await;
    let read = |name: &str| std::fs::read_to_string(server.dir().join("pki").join(name)).unwrap();
    let admin = Identity { certificate: read("admin.crt"), key: read("admin.key") };
    assert_eq!(port.client(Some(&admin)).get("/pods").await.unwrap().0, 200);
    assert_eq!(port.known().get("/pods").await.unwrap().0, 401, "of another authority");
    assert_eq!(port.client(None).get("/pods").await.unwrap().0, 401);
}

#[tokio::test]
async fn what_the_node_knows_is_asked_of_it_by_name() {
    let number = testkit::port::reserve().unwrap();
    // The server asks the node at its address, which is not that of the loopback.
    let served = format!("enableServer: true\naddress: 0.0.0.0\nport: {number}\n");
    let own = "tlsCertFile: tls.crt\ntlsPrivateKeyFile: tls.key\n";
    for more in [served.clone(), format!("{served}{own}")] {
        let mut server = Server::start().await;
        server.stop().await;
        let mut rig = Rig::prepare(&more).await;
        Port::prepare(&rig, number);
        let (dir, address) = (server.dir().display().to_string(), server.address().to_string());
        rig.launch_as(&["solo", "--dir", &dir, "--listen", &address, "--"]);
        rig.until(
            "the node is ready",
            DEADLINE,
            || server.node(),
            |node| condition(node, "Ready")["status"] == "True",
        )
        .await;
        server.create(&pod("web")).await;
        server.until_ready("web").await;
        rig.runtime.write_log("web", "main", LogStream::Stdout, "line\n").unwrap();
        let read = |name: &str| std::fs::read_to_string(server.dir().join("pki").join(name)).unwrap();
        let admin = Identity { certificate: read("admin.crt"), key: read("admin.key") };
        let admin = TlsClient::new(server.address(), &read("ca.crt"), Some(&admin)).unwrap();
        let log =
            || async { Value::from(admin.get("/api/v1/namespaces/default/pods/web/log").await.unwrap().1) };
        rig.until("the log", DEADLINE, log, |log| log == "line\n").await;
        let (code, text) = admin.get("/apis/metrics.k8s.io/v1beta1/nodes/node").await.unwrap();
        let metrics: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, &metrics["kind"]), (200, &"NodeMetrics".into()), "{text}");
        assert!(metrics["usage"]["memory"].is_string() && metrics["window"].is_string(), "{text}");
        // The runtime of this test tells of no use.
        let (code, text) = admin.get("/apis/metrics.k8s.io/v1beta1/pods").await.unwrap();
        assert!(code == 200 && text.contains("\"items\":[]"), "{text}");
        assert!(rig.terminate().await.success());
    }
}

#[tokio::test]
async fn it_does_not_take_another_kubeconfig() {
    let mut rig = Rig::prepare("").await;
    rig.flags.push("--kubeconfig=/etc/kubernetes/kubelet.conf".to_owned());
    rig.launch_as(&["solo", "--"]);
    assert_eq!(rig.ended().await.code(), Some(2));
    rig.until_log("has a kubeconfig already").await;
}
