//! The patch: named cases, and a property over any two statuses.

use proptest::prelude::*;

use super::*;

fn status(value: Value) -> PodStatus {
    serde_json::from_value(value).unwrap()
}

#[test]
fn tells_what_is_ours_and_new() {
    for (case, server, ours, expected) in [
        ("the same", json!({"phase": "Running"}), json!({"phase": "Running"}), Value::Null),
        (
            "a phase, and a reason that is gone",
            json!({"phase": "Pending", "reason": "R", "message": "m"}),
            json!({"phase": "Running", "message": "m"}),
            json!({"phase": "Running", "reason": null}),
        ),
        (
            "what others write is not touched",
            json!({"nominatedNodeName": "n", "conditions": [{"type": "other", "status": "True"}]}),
            json!({}),
            Value::Null,
        ),
        (
            "one condition of several",
            json!({"conditions": [
                {"type": "Ready", "status": "False", "reason": "R", "lastProbeTime": null},
                {"type": "Initialized", "status": "True"}, {"type": "other", "status": "True"}]}),
            json!({"conditions": [{"type": "other", "status": "False"},
                {"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}]}),
            json!({"conditions": [{"type": "Ready", "status": "True", "reason": null}]}),
        ),
        (
            "since when a condition holds, as long as it does",
            json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}),
            json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-02T00:00:00Z"}]}),
            Value::Null,
        ),
        (
            "a condition of ours that does not apply any more, and one that others have set",
            json!({"conditions": [{"type": "AllContainersRestarting", "status": "True"},
                {"type": "DisruptionTarget", "status": "True"}]}),
            json!({}),
            json!({"conditions": [{"$patch": "delete", "type": "AllContainersRestarting"}]}),
        ),
        (
            "addresses, in their order",
            json!({"podIP": "a", "podIPs": [{"ip": "a"}, {"ip": "b"}]}),
            json!({"podIP": "b", "podIPs": [{"ip": "b"}]}),
            json!({"podIP": "b", "podIPs": [{"ip": "b"}, {"$patch": "replace"}]}),
        ),
        (
            "the first addresses",
            json!({}),
            json!({"hostIPs": [{"ip": "h"}]}),
            json!({"hostIPs": [{"ip": "h"}]}),
        ),
        (
            "the start is said once, and no old version of the pod",
            json!({"startTime": "2026-01-01T00:00:00Z", "observedGeneration": 3}),
            json!({"startTime": "2026-01-02T00:00:00Z", "observedGeneration": 2}),
            Value::Null,
        ),
        (
            "a newer version",
            json!({"observedGeneration": 3}),
            json!({"observedGeneration": 4}),
            json!({"observedGeneration": 4}),
        ),
    ] {
        let patch = patch(&status(server), &status(ours));
        assert_eq!(patch.map_or(Value::Null, |patch| patch["status"].clone()), expected, "{case}");
    }
}

#[test]
fn spelling_is_no_news_and_states_are() {
    let container = |state: Value, cpu: &str, more: Value| {
        let mut container = json!({"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0,
            "state": state, "resources": {"requests": {"cpu": cpu}}});
        if let Value::Object(more) = more {
            container.as_object_mut().unwrap().extend(more);
        }
        status(json!({"containerStatuses": [container]}))
    };
    let server = container(json!({"waiting": {}}), "1", json!({"lastState": {}, "volumeMounts": []}));
    assert_eq!(patch(&server, &container(json!({"waiting": {}}), "1000m", Value::Null)), None);
    let running = patch(&server, &container(json!({"running": {}}), "1", Value::Null)).unwrap();
    assert_eq!(running["status"]["containerStatuses"][0]["state"], json!({"running": {}}));
}

/// What the API does with a patch, as far as ours go: fields are replaced, conditions merged by their type, and lists with
/// `$patch: replace` replaced.
fn apply(server: &PodStatus, patch: &Value) -> PodStatus {
    let mut status = json!(server);
    for (field, change) in patch["status"].as_object().unwrap() {
        match (field.as_str(), change) {
            ("conditions", Value::Array(changes)) => {
                let mut all = status["conditions"].as_array().cloned().unwrap_or_default();
                for change in changes {
                    let place = all.iter().position(|condition| condition["type"] == change["type"]);
                    match (place, change["$patch"] == "delete") {
                        (Some(place), true) => drop(all.remove(place)),
                        (None, true) => {}
                        (Some(place), false) => {
                            for (key, value) in change.as_object().unwrap() {
                                all[place][key] = value.clone();
                            }
                        }
                        (None, false) => all.push(change.clone()),
                    }
                }
                status[field] = all.into();
            }
            ("podIPs" | "hostIPs", Value::Array(list)) => {
                let replaces = list.iter().any(|item| item["$patch"] == "replace");
                assert!(replaces || status[field].as_array().is_none_or(Vec::is_empty));
                status[field] = list.iter().filter(|item| item.get("$patch").is_none()).cloned().collect();
            }
            (_, change) => status[field] = change.clone(),
        }
    }
    serde_json::from_value(status).unwrap()
}

fn any_status() -> impl Strategy<Value = PodStatus> {
    let kinds = vec!["Ready", "Initialized", "AllContainersRestarting", "DisruptionTarget", "theirs", "gate"];
    let condition = (
        prop::sample::select(kinds),
        prop::sample::select(vec!["True", "False"]),
        prop::option::of("[ab]"),
        1..4u32,
    )
        .prop_map(|(kind, status, reason, day)| {
            let since = format!("2026-01-0{day}T00:00:00Z");
            json!({"type": kind, "status": status, "reason": reason, "lastTransitionTime": since})
        });
    let ips = prop::collection::btree_set("[abc]", 0..3)
        .prop_map(|ips| ips.iter().map(|ip| json!({"ip": ip})).collect::<Vec<_>>());
    (
        prop::collection::vec(condition, 0..6),
        ips,
        prop::option::of("[ab]"),
        prop::option::of("[ab]"),
        prop::option::of(0..3i64),
        prop::option::of(Just("theirs")),
    )
        .prop_map(|(mut conditions, ips, phase, reason, generation, nominated)| {
            conditions.sort_by_key(|condition| condition["type"].to_string());
            conditions.dedup_by_key(|condition| condition["type"].to_string());
            status(json!({"conditions": conditions, "podIPs": ips, "phase": phase, "reason": reason,
                "observedGeneration": generation, "nominatedNodeName": nominated}))
        })
}

proptest! {
    /// Once the server has taken the patch over, there is nothing more to say; and what is not ours is as it was.
    #[test]
    fn a_patch_says_all_and_touches_nothing_else(server in any_status(), ours in any_status()) {
        let Some(told) = patch(&server, &ours) else { return Ok(()) };
        let after = apply(&server, &told);
        prop_assert_eq!(patch(&after, &ours), None);
        let theirs = |status: &PodStatus| {
            let all = status.conditions.clone().unwrap_or_default();
            let theirs = all.into_iter().filter(|one| ["theirs", "gate"].contains(&one.type_.as_str()));
            (theirs.collect::<Vec<_>>(), status.nominated_node_name.clone())
        };
        prop_assert_eq!(theirs(&after), theirs(&server));
        prop_assert_eq!(&after.phase, &ours.phase);
        prop_assert!(after.observed_generation >= server.observed_generation);
    }
}
