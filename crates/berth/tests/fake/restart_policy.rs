//! What follows when a container ends.

use serde_json::{Value, json};
use testkit::fake::Script;
use testkit::pod::pod;

use crate::rig::{Rig, container};

fn exits(code: i32) -> Script {
    Script { exits_at_once: Some(code), ..Script::default() }
}

#[tokio::test]
async fn a_crash_loop_backs_off() {
    let rig = Rig::start().await;
    rig.runtime.script(None, "main", exits(3));
    rig.put(&pod("crash"));
    let waiting = |pod: &Value| container(pod, "main")["state"]["waiting"]["reason"] == "CrashLoopBackOff";
    let crashing = rig.until_pod("crash", "in back-off", waiting).await;
    let status = container(&crashing, "main");
    assert_eq!(crashing["status"]["phase"], "Running");
    assert_eq!(status["restartCount"], 1, "the first restart is immediate");
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(status["lastState"]["terminated"]["reason"], "Error");
    let message = status["state"]["waiting"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("back-off 10s restarting failed container=main pod=crash-node_default("),
        "{message}"
    );
    let why = rig.until_why("crash", "backs off", |why| why["step"] == "BackOff").await;
    assert_eq!(
        (&why["subject"], &why["failures"][0]["reason"]),
        (&json!("main"), &json!("CrashLoopBackOff"))
    );
    assert!(why["waitingFor"].as_str().unwrap().contains("back-off"), "{why}");
    assert_eq!(rig.runtime.starts("crash-node", "main"), 2);
    rig.assert_proper();
}

#[tokio::test]
async fn the_pods_policy_says_what_is_started_again() {
    let rig = Rig::start().await;
    for (name, policy, code, phase, starts) in [
        ("never-ok", "Never", 0, "Succeeded", 1),
        ("never-bad", "Never", 1, "Failed", 1),
        ("onfail-ok", "OnFailure", 0, "Succeeded", 1),
        ("onfail-bad", "OnFailure", 1, "Running", 2),
        ("always-ok", "Always", 0, "Running", 2),
    ] {
        rig.runtime.script(Some(&format!("{name}-node")), "main", exits(code));
        rig.put(&pod(name).restart_policy(policy));
        let pod = format!("{name}-node");
        rig.until_store(name, |store| store.starts(&pod, "main") == starts).await;
        rig.until_pod(name, phase, |pod| {
            pod["status"]["phase"] == phase && container(pod, "main")["restartCount"] == starts - 1
        })
        .await;
    }
    rig.assert_proper();
}

#[tokio::test]
async fn a_containers_own_policy_goes_first() {
    let rig = Rig::start().await;
    let rules = json!({
        "restartPolicy": "Never",
        "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}],
    });
    rig.put(
        &pod("rules")
            .container("main", &["run"])
            .with_container("main", &rules)
            .container("other", &["run"])
            .with_container("other", &json!({"restartPolicy": "OnFailure"}))
            .restart_policy("Never"),
    );
    rig.until_ready("rules").await;
    rig.runtime.exit_container("rules-node", "main", 42);
    rig.until_store("main starts again", |store| store.starts("rules-node", "main") == 2).await;
    rig.until_ready("rules").await;
    rig.runtime.exit_container("rules-node", "other", 1);
    rig.until_store("other starts again", |store| store.starts("rules-node", "other") == 2).await;
    rig.until_ready("rules").await;
    rig.runtime.exit_container("rules-node", "main", 1);
    rig.runtime.exit_container("rules-node", "other", 0);
    rig.until_phase("rules", "Failed").await;
    assert_eq!((rig.runtime.starts("rules-node", "main"), rig.runtime.starts("rules-node", "other")), (2, 2));
    rig.assert_proper();
}

#[tokio::test]
async fn one_container_can_restart_all() {
    let rig = Rig::prepare("featureGates:\n  RestartAllContainersOnContainerExits: true\n").await;
    let mut rig = rig;
    rig.launch();
    rig.runtime.script(None, "prepare", exits(0));
    let rules = json!({
        "restartPolicy": "Never",
        "restartPolicyRules":
            [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}],
    });
    rig.put(
        &pod("all")
            .init_container("prepare", &["true"])
            .container("main", &["run"])
            .container("watcher", &["run"])
            .with_container("watcher", &rules),
    );
    rig.until_ready("all").await;
    rig.runtime.exit_container("all-node", "watcher", 88);
    rig.until_store("all start again", |store| {
        ["prepare", "main", "watcher"].iter().all(|name| store.starts("all-node", name) == 2)
    })
    .await;
    rig.until_ready("all").await;
    rig.runtime.read(|store| assert_eq!(store.sandboxes("all-node").len(), 1));
    rig.assert_proper();
}

#[tokio::test]
async fn a_failed_init_container_is_tried_again_or_fails_the_pod() {
    let rig = Rig::start().await;
    rig.runtime.script(None, "prepare", exits(1));
    rig.put(&pod("once").init_container("prepare", &["false"]).restart_policy("Never"));
    rig.put(&pod("again").init_container("prepare", &["false"]));
    let failed = rig.until_phase("once", "Failed").await;
    assert_eq!(container(&failed, "prepare")["state"]["terminated"]["exitCode"], 1);
    rig.until_pod("again", "in back-off", |pod| {
        container(pod, "prepare")["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    })
    .await;
    assert_eq!(rig.runtime.starts("once-node", "main") + rig.runtime.starts("again-node", "main"), 0);
    rig.assert_proper();
}

#[tokio::test]
async fn a_sidecar_that_ends_is_started_again_beside_the_others() {
    let rig = Rig::start().await;
    rig.put(&pod("web").sidecar("proxy", &["nc"]).container("app", &["httpd"]).restart_policy("Never"));
    rig.until_ready("web").await;
    rig.runtime.exit_container("web-node", "proxy", 0);
    rig.until_store("proxy starts again", |store| store.starts("web-node", "proxy") == 2).await;
    rig.until_ready("web").await;
    rig.runtime.exit_container("web-node", "app", 0);
    rig.until_phase("web", "Succeeded").await;
    assert_eq!(rig.runtime.starts("web-node", "app"), 1);
    rig.assert_proper();
}
