//! What a restart of berth writes to the API server.

use serde_json::json;
use testkit::pod::pod;

use crate::api_server::ApiRig;
use crate::rig::container;

/// As many pods run beside those that are told of.
const PODS: usize = 90;

#[tokio::test]
async fn a_restart_writes_nothing_that_is_no_news() {
    let mut bed = ApiRig::start().await;
    let requests = json!({"resources": {"requests": {"cpu": "0.01"}, "limits": {"memory": "1024Ki"}}});
    let names: Vec<_> = (0..PODS).map(|index| format!("web-{index}")).collect();
    // Asked every second: a readiness that berth forgot would show.
    let probe = json!({"exec": {"command": ["well"]}, "periodSeconds": 1});
    let probes = json!({"startupProbe": probe, "readinessProbe": probe, "livenessProbe": probe});
    for (index, name) in names.iter().enumerate() {
        let probes = if index % 3 == 0 { &probes } else { &json!({}) };
        let web = pod(name)
            .container("main", &["run"])
            .with_container("main", &requests)
            .with_container("main", probes);
        bed.server.create(&web).await;
    }
    let init = pod("prepared").init_container("prepare", &["true"]).container("main", &["run"]);
    bed.server.create(&init).await;
    bed.rig.until_store("prepared", |store| store.is_running("prepared", "prepare")).await;
    bed.rig.runtime.exit_container("prepared", "prepare", 0);
    for name in names.iter().map(String::as_str).chain(["prepared"]) {
        bed.server.until_ready(name).await;
    }
    bed.server.create(&pod("done").container("main", &["run"]).restart_policy("Never")).await;
    bed.server.until_ready("done").await;
    bed.rig.runtime.exit_container("done", "main", 0);
    bed.server.until_phase("done", "Succeeded").await;
    bed.server.create(&pod("restarted").container("main", &["run"])).await;
    bed.server.until_ready("restarted").await;
    bed.rig.runtime.exit_container("restarted", "main", 1);
    bed.server
        .until_pod("restarted", "started again", |pod| {
            container(pod, "main")["restartCount"] == 1 && container(pod, "main")["ready"] == true
        })
        .await;
    bed.rig.put(&pod("fixed").container("main", &["run"]));
    bed.server.until_ready("fixed-node").await;
    let refused = json!({"resources": {"requests": {"cpu": "100000"}}});
    bed.server.create(&pod("greedy").container("main", &["run"]).with_container("main", &refused)).await;
    bed.server.until_phase("greedy", "Failed").await;

    let mut before = Vec::new();
    for name in ["web-0", "web-7", "prepared", "done", "restarted", "fixed-node", "greedy"] {
        before.push((name, bed.server.pod(name).await));
    }
    bed.rig.kill();
    bed.server.forget_requests();
    bed.rig.launch();
    // Something new shows that berth has caught up with what is old.
    bed.server.create(&pod("new").container("main", &["run"])).await;
    bed.server.until_ready("new").await;
    bed.rig.runtime.exit_container("web-3", "main", 1);
    bed.server.until_pod("web-3", "noticed", |pod| container(pod, "main")["restartCount"] == 1).await;
    bed.server.until_ready("web-3").await;

    let about_others = |write: &&String| !write.contains("/pods/new/") && !write.contains("/pods/web-3/");
    let writes = bed.server.pod_writes();
    assert_eq!(writes.iter().filter(about_others).collect::<Vec<_>>(), [""; 0]);
    for (name, pod) in before {
        assert_eq!(bed.server.pod(name).await, pod, "{name}");
    }
    bed.rig.assert_proper();
}
