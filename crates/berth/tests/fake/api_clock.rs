//! An API server whose clock differs from the node's.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use lab::debian::{Package, ensure};
use serde_json::json;
use testkit::pod::pod;
use types::corev1::ServiceAccount;

use crate::api_server::ApiRig;
use crate::rig::container;

/// Shows a program another time than it is.
const FAKETIME: Package = Package {
    name: "libfaketime",
    files: &[
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
        "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    ],
};

#[tokio::test]
async fn a_node_whose_clock_is_late_does_its_work() {
    node_with_clock("-2h").await;
}

#[tokio::test]
async fn a_node_whose_clock_is_early_does_its_work() {
    node_with_clock("+2h").await;
}

async fn node_with_clock(offset: &str) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: tokens are in a tmpfs, which takes root");
        return;
    }
    ensure(&[FAKETIME]).unwrap();
    let library = FAKETIME.files.iter().map(PathBuf::from).find(|file| file.exists()).unwrap();
    let mut bed = ApiRig::prepare("").await;
    bed.rig.environment = vec![
        ("LD_PRELOAD", library.display().to_string()),
        ("FAKETIME", offset.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    bed.rig.launch();
    bed.server.until_node("registered", |node| !node.is_null()).await;
    bed.server.make::<ServiceAccount>(json!({"metadata": {"name": "robot"}})).await;
    let token = json!([{"serviceAccountToken": {"path": "token", "expirationSeconds": 600}}]);
    let web = pod("web").container("main", &["run"]).with_spec(&json!({"serviceAccountName": "robot",
        "volumes": [{"name": "access", "projected": {"sources": token}}]}));
    bed.server.create(&web).await;
    let web = bed.server.until_ready("web").await;
    let started: Timestamp = web["status"]["startTime"].as_str().unwrap().parse().unwrap();
    assert!(Timestamp::now().duration_since(started).abs() > SignedDuration::from_hours(1), "{web:#}");
    bed.rig.put(&pod("fixed").container("main", &["run"]));
    bed.server.until_ready("fixed-node").await;

    bed.rig.runtime.exit_container("web", "main", 1);
    bed.server
        .until_pod("web", "restarted", |pod| {
            container(pod, "main")["restartCount"] == 1 && container(pod, "main")["ready"] == true
        })
        .await;
    let tokens_asked =
        |bed: &ApiRig| bed.server.requests().iter().filter(|asked| asked.ends_with("/token")).count();
    assert_eq!(tokens_asked(&bed), 1);
    bed.rig.kill();
    bed.server.forget_requests();
    bed.rig.launch();
    bed.rig.put(&pod("second").container("main", &["run"]));
    bed.server.until_ready("second-node").await;
    let writes = bed.server.pod_writes();
    assert!(
        !writes.iter().any(|write| write.contains("/web") || write.contains("/fixed-node")),
        "{writes:?}"
    );
    bed.server.delete("web", None).await;
    bed.server.until_gone("web").await;
    // The claims of the token that was there are by the server's clock: one more may be asked for.
    assert!(tokens_asked(&bed) <= 1);
    assert_eq!(bed.rig.runtime.starts("fixed-node", "main"), 1);
    bed.rig.assert_proper();
}
