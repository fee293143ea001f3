//! Grace and order of stopping, and what is known of a back-off without memory.

use std::time::Duration;

use serde_json::json;
use types::ContainerState;

use super::{container, exited, observed, pod, second};
use crate::plan::{CrashLoop, KillReason, grace_seconds, stop_timeout_seconds, termination};

#[test]
fn sidecars_stop_last_and_in_reverse() {
    let side = |name: &str| json!({"name": name, "restartPolicy": "Always"});
    let pod = pod(json!({
        "initContainers": [side("a"), "init", side("b"), side("c")],
        "containers": ["web", "job"], "ephemeralContainers": ["debug"], "terminationGracePeriodSeconds": 10,
    }));
    let state = observed("s0+ a=run init=0 b=1 b=run c=? web=run job=0 debug=run stranger=run");
    let names = |over| -> Vec<String> {
        let stop = termination(&pod, &state, over);
        assert!(stop.stages.iter().flatten().all(|kill| kill.grace_seconds == stop.grace_seconds));
        stop.stages
            .iter()
            .map(|stage| stage.iter().map(|kill| kill.id.as_str()).collect::<Vec<_>>().join(" "))
            .collect()
    };
    assert_eq!(names(None), ["stranger.0 debug.0 web.0", "c.0", "b.1", "a.0"]);
    assert_eq!(termination(&pod, &state, None).grace_seconds, 10);
    assert_eq!(termination(&pod, &state, Some(1)).grace_seconds, 1);
    assert!(termination(&pod, &observed("s0+ web=0"), None).stages.is_empty());
}

#[test]
fn grace() {
    let mut pod = pod(json!({"terminationGracePeriodSeconds": 20, "containers": [
        {"name": "web", "livenessProbe": {"terminationGracePeriodSeconds": 5}, "startupProbe": {}}]}));
    let of = |pod: &types::Pod, reason, over| {
        let web = &types::pod::regular_containers(pod)[0];
        grace_seconds(pod, Some(web), reason, over)
    };
    assert_eq!(of(&pod, KillReason::PodStopped, None), 20);
    assert_eq!(of(&pod, KillReason::LivenessProbe, None), 5, "the probe's own");
    assert_eq!(of(&pod, KillReason::StartupProbe, None), 20, "a probe without one of its own");
    assert_eq!(of(&pod, KillReason::LivenessProbe, Some(0)), 0, "an override");
    pod.metadata.deletion_grace_period_seconds = Some(3);
    assert_eq!(of(&pod, KillReason::LivenessProbe, None), 3, "deletion goes first");
    assert_eq!(of(&pod, KillReason::PodStopped, Some(-1)), 0);

    assert_eq!(stop_timeout_seconds(30, 4), 26);
    assert_eq!(stop_timeout_seconds(0, 0), 2);
    assert_eq!(stop_timeout_seconds(30, 30), 2);
}

#[test]
fn back_off_is_recovered_from_the_runtime() {
    let ladder = CrashLoop { initial: Duration::from_secs(10), max: Duration::from_secs(300) };
    let ended = |count: u32, created: i64, started: i64, finished: i64| {
        let mut instance = container("s0", "web", count, exited(1));
        instance.created_at = second(created);
        if let ContainerState::Exited(exit) = &mut instance.state {
            exit.started_at = Some(second(started));
            exit.finished_at = second(finished);
        }
        instance
    };
    let previous = ended(4, 0, 0, 1000);
    for (case, latest, with_previous, expected) in [
        ("first crash", ended(0, 1000, 1000, 1001), true, None),
        ("restarted at once", ended(5, 1000, 1000, 1001), true, Some(10)),
        ("after 10 s", ended(5, 1011, 1012, 1013), true, Some(20)),
        ("after 80 s", ended(5, 1081, 1082, 1083), true, Some(160)),
        ("after 300 s", ended(5, 1300, 1301, 1302), true, Some(300)),
        ("ran long enough", ended(5, 1300, 1300, 1900), true, None),
        ("count alone", ended(3, 1300, 1300, 1301), false, Some(40)),
        ("count alone, large", ended(4_000_000_000, 1300, 1300, 1301), false, Some(300)),
        ("count alone, no short run", ended(3, 1300, 1300, 1650), false, None),
    ] {
        let delay = ladder.recovered(&latest, with_previous.then_some(&previous));
        assert_eq!(delay, expected.map(Duration::from_secs), "{case}");
    }
    let running = container("s0", "web", 3, ContainerState::Running { started_at: second(1) });
    assert_eq!(ladder.recovered(&running, Some(&previous)), None);
}
