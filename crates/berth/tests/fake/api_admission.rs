//! Who may run, and who has to make way.

use serde_json::json;
use testkit::fake::{Code, Fault, Match};
use testkit::pod::pod;

use crate::api_server::ApiRig;
use crate::rig::{DEADLINE, condition, container};

#[tokio::test]
async fn a_pod_that_is_refused() {
    let bed = ApiRig::start().await;
    let selector = json!({"nodeSelector": {"disk": "ssd"}});
    bed.server.create(&pod("picky").container("main", &["run"]).with_spec(&selector)).await;
    let refused = bed.server.until_phase("picky", "Failed").await;
    assert_eq!(refused["status"]["reason"], "NodeAffinity");
    let message = refused["status"]["message"].as_str().unwrap();
    assert!(message.starts_with("Pod was rejected: Predicate NodeAffinity failed"), "{message}");
    assert_eq!(bed.rig.runtime.read(|store| store.journal_of("picky")), [""; 0]);
    bed.server.until_event("Pod", "NodeAffinity").await;
    // The node is labelled: the next one may.
    bed.server.patch_node(json!({"metadata": {"labels": {"disk": "ssd"}}})).await;
    bed.server.delete("picky", None).await;
    bed.server.until_gone("picky").await;
    bed.server.create(&pod("picky").container("main", &["run"]).with_spec(&selector)).await;
    bed.server.until_ready("picky").await;
    bed.rig.assert_proper();
}

/// berth had taken it up before a restart, and had got as far as its volumes.
#[tokio::test]
async fn a_pod_that_is_refused_after_a_restart_keeps_no_volumes() {
    let mut bed = ApiRig::start().await;
    bed.server.patch_node(json!({"metadata": {"labels": {"disk": "ssd"}}})).await;
    let calls = Match::call("RunPodSandbox").pod("picky");
    let _no_network = bed.rig.runtime.fault(calls, Fault::Fail(Code::Unknown, "cni is broken".to_owned()));
    let spec = json!({"nodeSelector": {"disk": "ssd"}, "volumes": [{"name": "data", "emptyDir": {}}]});
    let mount = json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]});
    bed.server
        .create(&pod("picky").container("main", &["run"]).with_container("main", &mount).with_spec(&spec))
        .await;
    bed.rig.until_store("its sandbox fails", |store| store.calls("RunPodSandbox") > 0).await;
    let uid = bed.server.pod("picky").await["metadata"]["uid"].as_str().unwrap().to_owned();
    let volumes = bed.rig.root().join("pods").join(uid).join("volumes");
    assert!(volumes.join("kubernetes.io~empty-dir/data").exists());
    bed.rig.kill();
    bed.server.patch_node(json!({"metadata": {"labels": {"disk": null}}})).await;
    bed.rig.launch();
    let refused = bed.server.until_phase("picky", "Failed").await;
    assert_eq!(refused["status"]["reason"], "NodeAffinity");
    let is_there = || async { json!(volumes.exists()) };
    bed.rig.until("its volumes are gone", DEADLINE, is_there, |is_there| *is_there == json!(false)).await;
    bed.server.delete("picky", None).await;
    bed.server.until_gone("picky").await;
    bed.rig.assert_proper();
}

#[tokio::test]
async fn others_make_way_for_a_critical_pod() {
    let mut bed = ApiRig::prepare("maxPods: 3").await;
    bed.rig.launch();
    bed.server.until_node("registered", |node| !node.is_null()).await;
    for name in ["a", "b", "c"] {
        bed.server.create(&pod(name).container("main", &["run"])).await;
        bed.server.until_ready(name).await;
    }
    bed.server.create(&pod("late").container("main", &["run"])).await;
    let refused = bed.server.until_phase("late", "Failed").await;
    assert_eq!(refused["status"]["reason"], "OutOfpods");

    // Static pods are critical.
    bed.rig.put(&pod("critical").container("main", &["run"]));
    bed.rig.until_ready("critical").await;
    let running = |store: &testkit::fake::Store| {
        ["a", "b", "c"].into_iter().filter(|name| store.is_running(name, "main")).collect::<Vec<_>>()
    };
    let stay = bed.rig.runtime.read(running);
    let [name] = ["a", "b", "c"].into_iter().filter(|name| !stay.contains(name)).collect::<Vec<_>>()[..]
    else {
        panic!("one had to make way; there are {stay:?}");
    };
    let failed = bed.server.until_phase(name, "Failed").await;
    assert_eq!(failed["status"]["reason"], "Preempting");
    assert_eq!(condition(&failed, "DisruptionTarget")["reason"], "TerminationByKubelet");
    assert!(container(&failed, "main")["state"]["terminated"].is_object());
    bed.rig.assert_proper();
}

#[tokio::test]
async fn a_label_that_comes_just_before_the_pod_counts() {
    let bed = ApiRig::start().await;
    for round in 0..10 {
        let (name, value) = (format!("web-{round}"), round.to_string());
        let selector = json!({"nodeSelector": {"round": value}});
        bed.server.patch_node(json!({"metadata": {"labels": {"round": value}}})).await;
        bed.server.create(&pod(&name).container("main", &["run"]).with_spec(&selector)).await;
        bed.server.until_ready(&name).await;
    }
}
