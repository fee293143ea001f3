//! An API server that is away, or not well.

use std::fs;

use http::Method;
use serde_json::json;
use testkit::pod::pod;

use crate::api_server::ApiRig;
use crate::rig::{condition, container};

#[tokio::test]
async fn pods_change_while_the_server_is_away() {
    let mut bed = ApiRig::start().await;
    for name in ["steady", "crashes", "ends"] {
        let policy = if name == "ends" { "Never" } else { "Always" };
        bed.server.create(&pod(name).container("main", &["run"]).restart_policy(policy)).await;
        bed.server.until_ready(name).await;
    }
    bed.server.stop().await;
    bed.rig.runtime.exit_container("crashes", "main", 1);
    bed.rig.runtime.exit_container("ends", "main", 0);
    bed.rig.until_store("started again", |store| store.starts("crashes", "main") == 2).await;
    bed.server.forget_requests();
    bed.server.come_back().await;
    let ended = bed.server.until_phase("ends", "Succeeded").await;
    assert_eq!(condition(&ended, "Ready")["reason"], "PodCompleted");
    bed.server
        .until_pod("crashes", "caught up with", |pod| {
            container(pod, "main")["restartCount"] == 1 && container(pod, "main")["ready"] == true
        })
        .await;
    // Whatever happens is still told at once.
    bed.server.delete("crashes", None).await;
    bed.server.until_gone("crashes").await;
    let writes = bed.server.pod_writes();
    assert_eq!(writes.iter().filter(|write| write.contains("/steady")).count(), 0, "{writes:?}");
    assert_eq!(bed.rig.runtime.starts("steady", "main"), 1);
    bed.rig.assert_proper();
}

#[tokio::test]
async fn a_restart_while_the_server_is_away_stops_nothing() {
    let mut bed = ApiRig::start().await;
    bed.server.create(&pod("web").container("main", &["run"])).await;
    bed.server.until_ready("web").await;
    bed.rig.put(&pod("fixed").container("main", &["run"]));
    bed.server.until_ready("fixed-node").await;
    bed.rig.kill();
    bed.server.stop().await;
    bed.rig.launch();
    // Static pods need nobody.
    bed.rig.put(&pod("second").container("main", &["run"]));
    bed.rig.until_ready("second").await;
    bed.rig.runtime.read(|store| assert!(store.is_running("web", "main")));
    bed.server.forget_requests();
    bed.server.come_back().await;
    bed.server.until_ready("second-node").await;
    let writes = bed.server.pod_writes();
    let old = |write: &&String| write.contains("/web") || write.contains("/fixed-node");
    assert_eq!(writes.iter().filter(old).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(bed.rig.runtime.starts("web", "main"), 1);
    bed.rig.assert_proper();
}

#[tokio::test]
async fn writes_that_fail_are_made_again_for_that_pod_alone() {
    let bed = ApiRig::start().await;
    for (name, code) in [("full", 429), ("broken", 500), ("contended", 409)] {
        bed.server.fail(Method::PATCH, &format!("/pods/{name}/status"), code, 3);
        bed.server.create(&pod(name).container("main", &["run"])).await;
    }
    bed.server.fail(Method::PATCH, "/pods/stuck/status", 500, usize::MAX);
    bed.server.create(&pod("stuck").container("main", &["run"])).await;
    bed.server.create(&pod("well").container("main", &["run"])).await;
    for name in ["well", "full", "broken", "contended"] {
        bed.server.until_ready(name).await;
    }
    bed.rig.until_store("it runs all the same", |store| store.is_running("stuck", "main")).await;
    bed.rig
        .until_why("stuck", "who does not know", |why| {
            why["step"] == "Running" && why["failures"][0]["reason"] == "StatusNotWritten"
        })
        .await;
    bed.server.fail(Method::DELETE, "/pods/full", 500, 2);
    bed.server.delete("full", None).await;
    bed.server.until_gone("full").await;
    bed.rig.assert_proper();
}

#[tokio::test]
async fn what_is_no_pod_disturbs_nobody() {
    let bed = ApiRig::start().await;
    let odd = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "odd", "namespace": "default",
        "annotations": {"kubernetes.io/config.source": "file", "kubernetes.io/config.hash": "x"}},
        "spec": {"automountServiceAccountToken": false, "containers": [{"name": "main", "image": "busybox"}]}});
    bed.server.create_value(odd).await;
    bed.server.until_ready("odd").await;
    bed.server.create(&pod("web").container("main", &["run"])).await;
    bed.server.until_ready("web").await;
    bed.server.delete("odd", None).await;
    bed.server.until_gone("odd").await;
}

#[tokio::test]
async fn an_expired_token_stops_nothing_and_a_new_one_is_used_at_once() {
    let mut bed = ApiRig::prepare("").await;
    let (kubeconfig, token) = (bed.server.dir().join("node.kubeconfig"), bed.server.dir().join("token"));
    let with_token = |text: String| {
        let user = format!("tokenFile: {}\n    client-certificate", token.display());
        text.replacen("client-certificate", &user, 1)
    };
    fs::write(&kubeconfig, with_token(fs::read_to_string(&kubeconfig).unwrap())).unwrap();
    fs::write(&token, "first").unwrap();
    bed.server.require_token("first");
    bed.rig.launch();
    for name in ["crashes", "steady"] {
        bed.server.create(&pod(name).container("main", &["run"])).await;
        bed.server.until_ready(name).await;
    }

    bed.server.require_token("second");
    // Connections end as well, and what was watched has to be asked for again.
    bed.server.stop().await;
    bed.server.come_back().await;
    bed.server.forget_requests();
    bed.rig.runtime.exit_container("crashes", "main", 1);
    bed.rig.until_store("started again", |store| store.starts("crashes", "main") == 2).await;
    bed.rig
        .until_why("crashes", "who does not know", |why| {
            let failure = &why["failures"][0];
            failure["reason"] == "StatusNotWritten" && failure["message"].to_string().contains("401")
        })
        .await;
    assert_eq!(bed.rig.runtime.starts("steady", "main"), 1);

    fs::write(&token, "second").unwrap();
    bed.server
        .until_pod("crashes", "caught up with", |pod| {
            container(pod, "main")["restartCount"] == 1 && container(pod, "main")["ready"] == true
        })
        .await;
    bed.server.delete("crashes", None).await;
    bed.server.until_gone("crashes").await;
    assert_eq!(bed.rig.runtime.starts("steady", "main"), 1);
    bed.rig.assert_proper();
}
