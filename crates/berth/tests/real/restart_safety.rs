//! berth is killed again and again, and containerd once, with pods in every state: no container notices.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use testkit::pod::pod;
use types::ContainerState;

use crate::machine::{first_process, processes};
use crate::rig::{FOREVER, Rig, container, id, is_emulated, is_ready};

/// The pods whose containers must not notice.
const STEADY: [&str; 2] = ["plain", "sided"];

/// The containers of the steady pods with the first process of each.
async fn running(rig: &Rig) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    for name in STEADY {
        for container in rig.observed(name).await.expect("the pod is in the runtime").containers {
            if matches!(container.state, ContainerState::Running { .. }) {
                let name = format!("{name} {} {}", container.name, container.id);
                found.insert(name, first_process(&container.id));
            }
        }
    }
    found
}

#[tokio::test]
async fn real_no_container_notices_that_berth_or_containerd_is_killed() {
    let mut rig = Rig::start().await;
    rig.put("plain", &pod("plain").container("main", &FOREVER));
    let sided =
        pod("sided").init_container("first", &["true"]).sidecar("side", &FOREVER).container("main", &FOREVER);
    rig.put("sided", &sided);
    rig.put("done", &pod("done").restart_policy("Never").container("main", &["true"]));
    rig.put("crash", &pod("crash").container("main", &["false"]));
    for name in STEADY {
        rig.until_ready(name).await;
    }
    rig.until_ended("done", "Succeeded").await;
    let before = running(&rig).await;
    assert_eq!(before.len(), 3, "{before:?}");

    // In an emulated machine fewer times, over as much more time as a start takes there.
    let (kills, step) = if is_emulated() { (8, 700) } else { (20, 37) };
    for round in 0..kills {
        // A pod that is starting in one round is stopping in the next.
        let name = format!("churn{}", round / 2);
        if round % 2 == 0 {
            rig.put(
                &name,
                &pod(&name).grace_period(1).init_container("first", &["true"]).container("main", &FOREVER),
            );
        } else {
            rig.remove(&name);
        }
        // Not to wait for something, but to be killed at another point each time.
        tokio::time::sleep(Duration::from_millis(step * round)).await;
        rig.node.kill().await.unwrap();
        assert_eq!(running(&rig).await, before, "after kill {round}");
        rig.node.start().unwrap();
    }
    for name in STEADY {
        let pod = rig.until_ready(name).await;
        assert_eq!(container(&pod, "main")["restartCount"], 0);
    }
    for round in 0..kills / 2 {
        rig.until(&format!("churn{round}"), "gone", serde_json::Value::is_null).await;
    }
    assert_eq!(running(&rig).await, before, "after all kills");

    rig.containerd.kill().await.unwrap();
    assert!(!processes(&id(&rig.pod("plain").await, "main")).is_empty());
    rig.containerd.resume().await.unwrap();
    assert_eq!(running(&rig).await, before, "after containerd was killed");
    // berth finds the runtime again.
    rig.put("late", &pod("late").container("main", &FOREVER));
    rig.until("late", "started", is_ready).await;
    assert_eq!(running(&rig).await, before, "after containerd came back");
    let done = rig.until_ended("done", "Succeeded").await;
    assert_eq!(container(&done, "main")["restartCount"], json!(0));
    // One that berth was killed in the middle of starting may be removed only now that containerd has started anew.
    for round in 0..kills / 2 {
        rig.until_unobserved(&format!("churn{round}")).await;
    }
    rig.finish().await;
}
