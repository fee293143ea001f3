use super::*;

fn claim(status: Value, more: Value) -> PersistentVolumeClaim {
    let mut claim = json!({
        "metadata": {"name": "data", "namespace": "shop", "resourceVersion": "7"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}},
        "status": status,
    });
    for (key, value) in more.as_object().unwrap() {
        claim[key] = value.clone();
    }
    serde_json::from_value(claim).unwrap()
}

fn volume(size: &str) -> PersistentVolume {
    serde_json::from_value(json!({"metadata": {"name": "pv"}, "spec": {"capacity": {"storage": size}}}))
        .unwrap()
}

/// A decision in a word or two.
fn shown(decision: Decision) -> String {
    match decision {
        Decision::Rest => "rest".to_owned(),
        Decision::IsGrown(size) => format!("is {size}"),
        Decision::ReadOnly => "read-only".to_owned(),
        Decision::Grow(Growing { size, told, tells_begin, fails_for_good }) => {
            let words = [(told, " told"), (tells_begin, " begin"), (fails_for_good, " for good")];
            let words: String = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
            format!("to {size}{words}")
        }
    }
}

fn size(text: &str) -> Quantity {
    text.parse().unwrap()
}

#[test]
fn when_it_grows() {
    use When::{AtMount, Online};
    let at = |stage: &str| {
        json!({
            "capacity": {"storage": "1Gi"}, "allocatedResources": {"storage": "2Gi"},
            "allocatedResourceStatuses": {"storage": stage},
        })
    };
    let many =
        json!({"spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "2Gi"}}}});
    let without_nodes = json!({"metadata": {"annotations": {NOT_ON_NODES: "yes"}}, "spec": many["spec"]});
    let other = json!({"spec": {"resources": {"requests": {"storage": "3Gi"}}}});
    let grown = json!({"capacity": {"storage": "2Gi"}, "allocatedResources": {"storage": "2Gi"}});
    let old = json!({"capacity": {"storage": "1Gi"}});
    let none = json!({});
    // The claim's status and the rest of it, the volume's size, whether only read, when, the size on this node.
    for (status, more, wants, read_only, when, here, expected) in [
        (&old, &none, "1Gi", false, Online, None, "is 1Gi"),
        (&old, &none, "1024Mi", false, AtMount, None, "is 1Gi"),
        (&none, &none, "1Gi", false, Online, None, "rest"),
        // Controllers that do not tell how far they are.
        (&old, &none, "2Gi", false, Online, None, "to 2Gi"),
        (&old, &none, "2Gi", false, AtMount, None, "to 2Gi"),
        (&old, &none, "2Gi", true, Online, None, "rest"),
        (&old, &none, "2Gi", true, AtMount, None, "read-only"),
        (&old, &none, "2Gi", false, Online, Some("2Gi"), "is 2Gi"),
        (&old, &none, "2Gi", false, AtMount, Some("2Gi"), "to 2Gi"),
        (&json!({"capacity": {"storage": "2Gi"}}), &none, "2Gi", false, Online, Some("1Gi"), "to 2Gi told"),
        // Those that do.
        (&at("NodeResizePending"), &none, "2Gi", false, Online, None, "to 2Gi begin"),
        (&at("NodeResizeInProgress"), &none, "2Gi", false, AtMount, None, "to 2Gi begin"),
        (&at("NodeResizeInProgress"), &other, "2Gi", false, Online, None, "to 2Gi begin for good"),
        (&at("NodeResizeInfeasible"), &none, "2Gi", false, Online, None, "rest"),
        (&at("ControllerResizeInProgress"), &none, "2Gi", false, Online, None, "rest"),
        (&at("NodeResizePending"), &none, "2Gi", true, AtMount, None, "read-only"),
        // Another node was first.
        (&grown, &many, "2Gi", false, Online, Some("1Gi"), "to 2Gi told"),
        (&grown, &many, "2Gi", false, Online, None, "is 2Gi"),
        (&grown, &without_nodes, "2Gi", false, Online, Some("1Gi"), "is 2Gi"),
        (&grown, &none, "2Gi", false, Online, Some("1Gi"), "is 2Gi"),
    ] {
        let on_node = OnNode { size: here.map(size), failed: true };
        let claim = claim(status.clone(), more.clone());
        let decision = decide(&claim, &volume(wants), read_only, when, on_node);
        assert_eq!(shown(decision), expected, "{status} {more} {wants} {read_only} {when:?} {here:?}");
    }
    let claim = claim(at("NodeResizePending"), other);
    let decision = decide(&claim, &volume("2Gi"), false, Online, OnNode::default());
    assert_eq!(shown(decision), "to 2Gi begin", "it has not failed yet");
}

#[test]
fn what_the_claim_is_told() {
    let pending = claim(
        json!({
            "allocatedResourceStatuses": {"storage": "NodeResizePending"},
            "conditions": [{"type": "FileSystemResizePending", "status": "True"}, {"type": "Mine", "status": "True"}],
        }),
        json!({}),
    );
    let told = |status: Value| json!({"metadata": {"resourceVersion": "7"}, "status": status});
    let stage = |stage: &str| json!({"allocatedResourceStatuses": {"storage": stage}});
    assert_eq!(begun(&pending), Some(told(stage("NodeResizeInProgress"))));
    assert_eq!(begun(&claim(stage("NodeResizeInProgress"), json!({}))), None);
    assert_eq!(
        grown(&pending, size("2Gi")),
        told(json!({
            "capacity": {"storage": "2Gi"}, "allocatedResourceStatuses": {"storage": null},
            "conditions": [{"$patch": "delete", "type": "FileSystemResizePending"}],
        }))
    );
    let plain = claim(json!({"capacity": {"storage": "1Gi"}}), json!({}));
    assert_eq!(grown(&plain, size("2Gi")), told(json!({"capacity": {"storage": "2Gi"}})));

    let now = "2026-03-01T12:00:00Z";
    let condition = json!([{
        "type": "NodeResizeError", "status": "True", "lastTransitionTime": now,
        "message": "failed to expand pvc with no room",
    }]);
    assert_eq!(failed(&pending, "no room", false, now), Some(told(json!({"conditions": condition}))));
    let mut both = stage("NodeResizeInfeasible");
    both["conditions"] = condition.clone();
    assert_eq!(failed(&pending, "no room", true, now), Some(told(both.clone())));
    let said = claim(both, json!({}));
    assert_eq!(failed(&said, "still no room", true, now), None);
    let error = claim(json!({"conditions": condition}), json!({}));
    assert_eq!(failed(&error, "never", true, now), Some(told(stage("NodeResizeInfeasible"))));
}
