//! Hooks, grace periods, restart policies, and manifests that change.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::pod::pod;
use tokio::time::Instant;

use crate::rig::{FOREVER, Rig, container, id, uid};

#[tokio::test]
async fn real_hooks_run_around_a_container() {
    let mut rig = Rig::start().await;
    let host = rig.dir().join("hooks");
    fs::create_dir(&host).unwrap();
    let spec = json!({"volumes": [{"name": "out", "hostPath": {"path": host}}]});
    let exec = |script: &str| json!({"exec": {"command": ["sh", "-c", script]}});
    let mount = json!([{"name": "out", "mountPath": "/out"}]);
    let serve = [
        "sh",
        "-c",
        "trap 'echo term >> /out/order; exit 0' TERM; mkdir /www; echo ok > /www/stop; httpd -p 8080 -h /www; while :; do sleep 100000 & wait $!; done",
    ];
    let main = json!({
        "volumeMounts": mount,
        "lifecycle": {"postStart": exec("echo started >> /out/order"), "preStop": exec("echo stopping >> /out/order")},
    });
    let side = json!({"lifecycle": {"postStart": {"sleep": {"seconds": 1}}, "preStop": {"httpGet": {"path": "/stop", "port": 8080}}}, "volumeMounts": mount});
    rig.put(
        "hooked",
        &pod("hooked")
            .container("main", &FOREVER)
            .with_container("main", &main)
            .container("web", &serve)
            .with_container("web", &side)
            .with_spec(&spec),
    );
    let failing = json!({"lifecycle": {"postStart": exec("echo no luck; exit 5")}});
    rig.put(
        "failing",
        &pod("failing")
            .restart_policy("Never")
            .grace_period(1)
            .container("main", &["sleep", "100000"])
            .with_container("main", &failing),
    );

    let hooked = rig.until_ready("hooked").await;
    assert_eq!(fs::read_to_string(host.join("order")).unwrap(), "started\n");
    rig.remove("hooked");
    rig.until_gone("hooked", &uid(&hooked)).await;
    let order = fs::read_to_string(host.join("order")).unwrap();
    assert!(order.contains("stopping\n") && order.contains("term\n"), "{order}");

    rig.until_ended("failing", "Failed").await;
    let why = rig.get("/why?pod=failing").await;
    assert!(why.to_string().contains("FailedPostStartHook"), "{why:#}");
    rig.finish().await;
}

#[tokio::test]
async fn real_restart_policies_and_grace_periods() {
    let mut rig = Rig::start().await;
    let deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"];
    rig.put("deaf", &pod("deaf").grace_period(2).container("main", &deaf));
    let once = ["sh", "-c", "test -e /keep/once && exit 0; touch /keep/once; exit 7"];
    let keep = json!({"volumes": [{"name": "keep", "emptyDir": {}}]});
    let mount = json!({"volumeMounts": [{"name": "keep", "mountPath": "/keep"}]});
    rig.put(
        "onfailure",
        &pod("onfailure")
            .restart_policy("OnFailure")
            .container("main", &once)
            .with_container("main", &mount)
            .with_spec(&keep),
    );
    rig.put("never", &pod("never").restart_policy("Never").container("main", &["sh", "-c", "exit 9"]));
    rig.put(
        "late",
        &pod("late")
            .restart_policy("Never")
            .grace_period(1)
            .container("main", &FOREVER)
            .with_spec(&json!({"activeDeadlineSeconds": 3})),
    );
    rig.put(
        "init",
        &pod("init").restart_policy("Never").init_container("bad", &["false"]).container("main", &FOREVER),
    );
    // A shell that is told to end before it has said what to do then does not hear of it.
    let hears =
        ["sh", "-c", "trap 'exit 0' TERM; touch /keep/hears; while :; do sleep 100000 & wait $!; done"];
    let until_heard = ["sh", "-c", "until [ -e /keep/hears ]; do sleep 0.1; done"];
    rig.put(
        "job",
        &pod("job")
            .restart_policy("Never")
            .sidecar("side", &hears)
            .with_container("side", &mount)
            .container("main", &until_heard)
            .with_container("main", &mount)
            .with_spec(&keep),
    );

    let never = rig.until_ended("never", "Failed").await;
    assert_eq!(container(&never, "main")["state"]["terminated"]["exitCode"], 9);
    let onfailure = rig.until_ended("onfailure", "Succeeded").await;
    assert_eq!(container(&onfailure, "main")["restartCount"], 1);
    assert_eq!(rig.until_ended("late", "Failed").await["status"]["reason"], "DeadlineExceeded");
    let init = rig.until_ended("init", "Failed").await;
    assert_eq!(container(&init, "main")["state"]["waiting"]["reason"], "PodInitializing");
    let job = rig.until_ended("job", "Succeeded").await;
    assert_eq!(container(&job, "side")["state"]["terminated"]["exitCode"], 0);

    let pod = rig.until_ready("deaf").await;
    let begun = Instant::now();
    rig.remove("deaf");
    rig.until_gone("deaf", &uid(&pod)).await;
    assert!(begun.elapsed() >= Duration::from_secs(2), "killed within {:?}", begun.elapsed());
    rig.finish().await;
}

#[tokio::test]
async fn real_a_changed_manifest_replaces_its_pod() {
    let mut rig = Rig::start().await;
    let labelled = |colour: &str| {
        pod("page").with_metadata(&json!({"labels": {"colour": colour}})).container("main", &FOREVER)
    };
    rig.put("page", &labelled("red"));
    let red = rig.until_ready("page").await;
    rig.put("page", &labelled("green"));
    let green = rig
        .until("page", "replaced", |pod| {
            pod["metadata"]["labels"]["colour"] == "green" && crate::rig::is_ready(pod)
        })
        .await;
    assert_ne!(uid(&red), uid(&green));
    assert_ne!(id(&red, "main"), id(&green, "main"));
    let old = rig.node.root().join("pods").join(uid(&red));
    rig.until_machine("the old pod's directory is gone", || !old.exists()).await;
    // Written again without a change, it is left alone.
    rig.put("page", &labelled("green"));
    rig.put("other", &pod("other").container("main", &FOREVER));
    rig.until_ready("other").await;
    assert_eq!(id(&rig.pod("page").await, "main"), id(&green, "main"));
    rig.remove("page");
    rig.until("page", "gone", Value::is_null).await;
    rig.finish().await;
}
