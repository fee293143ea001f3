//! Lifecycle hooks.

use serde_json::{Value, json};
use testkit::fake::ExecAnswer;
use testkit::pod::pod;

use crate::rig::{Rig, container};

fn hook(name: &str, command: &[&str]) -> Value {
    json!({"lifecycle": {name: {"exec": {"command": command}}}})
}

#[tokio::test]
async fn hooks_run_after_the_start_and_before_the_stop() {
    let rig = Rig::start().await;
    rig.put(
        &pod("web")
            .container("app", &["httpd"])
            .with_container("app", &hook("postStart", &["warm-up"]))
            .with_container("app", &hook("preStop", &["drain"])),
    );
    rig.until_ready("web").await;
    let expected = ["RunPodSandbox", "CreateContainer app", "StartContainer app", "ExecSync app"];
    assert_eq!(rig.journal("web"), expected);
    rig.runtime.clear_journal();
    rig.remove("web");
    rig.until_gone("web").await;
    assert_eq!(rig.journal("web")[..2], ["ExecSync app", "StopContainer app"]);
    rig.assert_proper();
}

#[tokio::test]
async fn a_failed_post_start_hook_ends_its_container() {
    let rig = Rig::start().await;
    let failure = ExecAnswer { stderr: b"no such table".to_vec(), exit_code: 2, ..ExecAnswer::default() };
    rig.runtime.on_exec(&["warm-up"], failure);
    rig.put(
        &pod("web")
            .container("app", &["httpd"])
            .with_container("app", &hook("postStart", &["warm-up"]))
            .container("other", &["httpd"])
            .grace_period(1),
    );
    rig.until_store("app is killed", |store| {
        store.journal_of("web-node").iter().any(|call| call == "StopContainer app")
    })
    .await;
    rig.until_pod("web", "the hook's failure", |pod| {
        let waiting = &container(pod, "app")["state"]["waiting"];
        let reason = waiting["reason"].as_str().unwrap_or_default();
        ["PostStartHookError", "CrashLoopBackOff"].contains(&reason)
    })
    .await;
    rig.until_store("other runs", |store| store.is_running("web-node", "other")).await;
    let why = rig
        .until_why("web", "the event", |why| why["events"].to_string().contains("FailedPostStartHook"))
        .await;
    assert!(why["failures"].to_string().contains("app"), "{why}");
    rig.assert_proper();
}

#[tokio::test]
async fn a_failed_pre_stop_hook_does_not_hold_up_the_stop() {
    let rig = Rig::start().await;
    rig.runtime.on_exec(&["drain"], ExecAnswer { exit_code: 1, ..ExecAnswer::default() });
    rig.put(&pod("web").container("app", &["httpd"]).with_container("app", &hook("preStop", &["drain"])));
    rig.until_ready("web").await;
    rig.remove("web");
    rig.until_gone("web").await;
    rig.assert_proper();
}
