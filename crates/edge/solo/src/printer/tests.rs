use serde_json::json;

use super::*;
use crate::resource;

/// The cells after the name, as texts.
fn cells(plural: &str, object: Value) -> Vec<String> {
    let resource = resource::RESOURCES.iter().find(|resource| resource.plural == plural).unwrap();
    let table = table(resource, std::iter::once(&object), Include::Nothing, true);
    let cells = table["rows"][0]["cells"].as_array().unwrap().clone();
    assert_eq!(cells.len(), table["columnDefinitions"].as_array().unwrap().len(), "{plural}");
    cells[1..].iter().map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned)).collect()
}

fn pod_status(status: Value) -> Vec<String> {
    cells(
        "pods",
        json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "a"}, {"name": "b"}],
        "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]}, "status": status}),
    )
}

#[test]
fn pods_tell_what_is_the_matter() {
    let running = json!({"running": {}});
    for (status, expected) in [
        (json!({"phase": "Pending"}), ["0/3", "Pending", "0"]),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": running}]}),
            ["0/3", "Init:0/2", "0"],
        ),
        (
            json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}),
            ["0/3", "Init:CrashLoopBackOff", "2"],
        ),
        (
            json!({"phase": "Running", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 0}}},
                {"name": "s", "started": true, "ready": true, "state": running}],
                "containerStatuses": [{"name": "a", "ready": true, "state": running}, {"name": "b", "state": {"waiting": {"reason": "ErrImagePull"}}}]}),
            ["2/3", "ErrImagePull", "0"],
        ),
        (
            json!({"phase": "Failed", "containerStatuses": [{"name": "a", "restartCount": 1, "state": {"terminated": {"exitCode": 3}}}]}),
            ["0/3", "ExitCode:3", "1"],
        ),
        (json!({"phase": "Failed", "reason": "Evicted"}), ["0/3", "Evicted", "0"]),
    ] {
        assert_eq!(pod_status(status.clone())[..3], expected, "{status}");
    }
}

#[test]
fn a_pod_that_is_deleted_is_terminating() {
    let pod = json!({"metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Running"}});
    assert_eq!(cells("pods", pod)[1], "Terminating");
}

#[test]
fn nodes_tell_status_and_roles() {
    let node = json!({"metadata": {"name": "n", "labels": {"node-role.kubernetes.io/worker": ""}}, "spec": {"unschedulable": true},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.36.0"},
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}});
    let cells = cells("nodes", node);
    assert_eq!(cells[..2], ["Ready,SchedulingDisabled", "worker"]);
    assert_eq!(cells[3..6], ["v1.36.0", "10.0.0.1", "<none>"]);
}

#[test]
fn every_kind_prints_an_empty_object() {
    for resource in resource::RESOURCES {
        cells(resource.plural, json!({"metadata": {"name": "a"}}));
    }
}
