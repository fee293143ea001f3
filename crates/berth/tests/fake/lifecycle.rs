//! A pod's way from its manifest to nothing.

use std::time::Duration;

use serde_json::json;
use testkit::fake::{Code, Fault, Match, Script};
use testkit::pod::pod;

use crate::rig::{DEADLINE, Rig, condition, container, full};

#[tokio::test]
async fn containers_start_in_order() {
    let rig = Rig::start().await;
    rig.put(
        &pod("web")
            .init_container("prepare", &["true"])
            .sidecar("proxy", &["nc"])
            .container("app", &["httpd"])
            .container("cache", &["redis"]),
    );
    rig.until_store("prepare runs", |store| store.is_running("web-node", "prepare")).await;
    rig.until_why("web", "waits for prepare", |why| why["step"] == "Init" && why["subject"] == "prepare")
        .await;
    let waiting = rig.pod("web").await;
    assert_eq!(waiting["status"]["phase"], "Pending");
    assert_eq!(container(&waiting, "app")["state"]["waiting"]["reason"], "PodInitializing");
    assert_eq!(condition(&waiting, "Initialized")["status"], "False");

    rig.runtime.exit_container("web-node", "prepare", 0);
    let ready = rig.until_ready("web").await;
    let expected = [
        "RunPodSandbox",
        "CreateContainer prepare",
        "StartContainer prepare",
        "CreateContainer proxy",
        "StartContainer proxy",
        "CreateContainer app",
        "StartContainer app",
        "CreateContainer cache",
        "StartContainer cache",
    ];
    assert_eq!(rig.journal("web"), expected);
    assert_eq!(ready["status"]["phase"], "Running");
    assert!(ready["status"]["podIP"].as_str().is_some_and(|ip| ip.starts_with("10.")));
    assert_eq!(container(&ready, "prepare")["state"]["terminated"]["reason"], "Completed");
    assert_eq!(container(&ready, "proxy")["started"], true);
    for kind in ["PodReadyToStartContainers", "Initialized", "ContainersReady"] {
        assert_eq!(condition(&ready, kind)["status"], "True", "{kind}");
    }
    rig.until_why("web", "nothing", |why| why["step"] == "Running").await;
    rig.assert_proper();
}

#[tokio::test]
async fn a_container_that_cannot_be_created_leaves_no_files() {
    let rig = Rig::start().await;
    let fails = Fault::Fail(Code::Internal, "no such device".into());
    let _fails = rig.runtime.fault(Match::call("CreateContainer"), fails);
    rig.put(&pod("web").container("app", &["run"]));
    rig.until_why("web", "fails", |why| why.to_string().contains("CreateContainerError")).await;
    let uid = rig.pod("web").await["metadata"]["uid"].as_str().unwrap().to_owned();
    let dir = rig.root().join("pods").join(uid).join("containers/app");
    let files = || std::fs::read_dir(&dir).unwrap().count();
    // While it is tried, there is one for its termination message.
    rig.until("no files", DEADLINE, async || json!(files()), |count| *count == 0).await;
}

#[tokio::test]
async fn a_job_ends_and_is_kept_until_its_manifest_goes() {
    let rig = Rig::start().await;
    rig.put(&pod("job").container("work", &["true"]).restart_policy("OnFailure"));
    rig.until_ready("job").await;
    rig.runtime.exit_container("job-node", "work", 0);
    let done = rig.until_phase("job", "Succeeded").await;
    assert_eq!(container(&done, "work")["state"]["terminated"]["exitCode"], 0);
    assert_eq!(condition(&done, "Ready")["reason"], "PodCompleted");
    rig.until_store("the sandbox stops", |store| store.sandboxes("job-node").iter().all(|s| !s.ready)).await;
    rig.until_why("job", "done", |why| why["step"] == "Done").await;
    rig.runtime.read(|store| assert_eq!(store.containers("job-node").len(), 1));

    rig.remove("job");
    rig.until_gone("job").await;
    let left = |dir| std::fs::read_dir(dir).unwrap().count();
    assert_eq!((left(rig.root().join("pods")), left(rig.logs())), (0, 0));
    assert_eq!(rig.runtime.starts("job-node", "work"), 1);
    rig.assert_proper();
}

#[tokio::test]
async fn a_removed_pod_is_stopped_in_order_and_with_its_grace() {
    let rig = Rig::start().await;
    let slow = Script { stops_after: Duration::from_millis(300), ..Script::default() };
    rig.runtime.script(None, "app", slow);
    rig.put(
        &pod("web")
            .sidecar("first", &["nc"])
            .sidecar("second", &["nc"])
            .container("app", &["httpd"])
            .grace_period(20),
    );
    rig.until_ready("web").await;
    rig.runtime.clear_journal();
    rig.remove("web");
    rig.until_pod("web", "is being stopped", |pod| !crate::rig::is_ready(pod)).await;
    rig.until_gone("web").await;
    let journal = rig.journal("web");
    let expected = [
        "StopContainer app",
        "StopContainer second",
        "StopContainer first",
        "StopPodSandbox",
        "RemovePodSandbox",
    ];
    let mut calls = journal.iter();
    for call in expected {
        assert!(calls.any(|made| made.starts_with(call)), "{call} is not where it should be in {journal:?}");
    }
    // What ends by itself within the grace period is not killed.
    rig.assert_proper();
}

#[tokio::test]
async fn a_lost_sandbox_is_replaced() {
    let rig = Rig::start().await;
    rig.put(&pod("web").init_container("prepare", &["true"]).container("app", &["httpd"]));
    let done = Script { exits_at_once: Some(0), ..Script::default() };
    rig.runtime.script(None, "prepare", done);
    rig.until_ready("web").await;
    rig.runtime.kill_sandbox(&full("web"));
    rig.until_store("a new sandbox", |store| {
        store.sandboxes("web-node").first().is_some_and(|sandbox| sandbox.ready && sandbox.attempt() == 1)
            && store.is_running("web-node", "app")
    })
    .await;
    let again = rig
        .until_pod("web", "ready again", |pod| {
            crate::rig::is_ready(pod) && container(pod, "app")["restartCount"] == 1
        })
        .await;
    assert_eq!(container(&again, "app")["lastState"]["terminated"]["exitCode"], 137);
    assert_eq!(rig.runtime.starts("web-node", "prepare"), 2);
    rig.until_why("web", "the event", |why| why["events"].to_string().contains("SandboxChanged")).await;
    rig.assert_proper();
}

#[tokio::test]
async fn a_pod_past_its_deadline_is_stopped() {
    let rig = Rig::start().await;
    rig.put(&pod("late").with_spec(&json!({"activeDeadlineSeconds": 1})));
    let failed = rig.until_phase("late", "Failed").await;
    assert_eq!(failed["status"]["reason"], "DeadlineExceeded");
    rig.until_store("stopped", |store| store.running_containers("late-node").is_empty()).await;
    rig.assert_proper();
}

#[tokio::test]
async fn an_end_is_told_with_its_last_words() {
    let rig = Rig::start().await;
    rig.put(
        &pod("talker")
            .container("main", &["sh"])
            .with_container("main", &json!({"terminationMessagePolicy": "FallbackToLogsOnError"}))
            .restart_policy("Never"),
    );
    rig.until_ready("talker").await;
    rig.runtime
        .write_log("talker-node", "main", testkit::fake::LogStream::Stderr, "cannot open the database")
        .unwrap();
    rig.runtime.exit_container("talker-node", "main", 7);
    let failed = rig.until_phase("talker", "Failed").await;
    let end = &container(&failed, "main")["state"]["terminated"];
    assert_eq!(end["exitCode"], 7);
    assert!(end["message"].as_str().is_some_and(|text| text.contains("cannot open the database")), "{end}");
}

#[tokio::test]
async fn memory_that_ran_out_is_told() {
    let rig = Rig::start().await;
    rig.put(&pod("hungry").restart_policy("Never"));
    rig.until_ready("hungry").await;
    rig.runtime.oom_kill_container("hungry-node", "main");
    let failed = rig.until_phase("hungry", "Failed").await;
    let end = &container(&failed, "main")["state"]["terminated"];
    assert_eq!((&end["reason"], &end["exitCode"]), (&json!("OOMKilled"), &json!(137)));
}
