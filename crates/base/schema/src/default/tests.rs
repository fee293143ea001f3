use serde_json::{Value, json};

use super::*;

fn defaulted(spec: Value) -> Value {
    let mut pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
    default_pod(&mut pod);
    let once = serde_json::to_value(&pod).unwrap();
    default_pod(&mut pod);
    assert_eq!(serde_json::to_value(&pod).unwrap(), once, "not a fixed point");
    once["spec"].clone()
}

fn container(container: Value) -> Value {
    defaulted(json!({"containers": [container]}))["containers"][0].clone()
}

#[test]
fn a_minimal_pod() {
    assert_eq!(
        defaulted(json!({"containers": [{"name": "a", "image": "b:1"}]})),
        json!({
            "containers": [{
                "name": "a", "image": "b:1", "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            }],
            "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
            "terminationGracePeriodSeconds": 30, "enableServiceLinks": true, "securityContext": {},
            "priority": 0, "preemptionPolicy": "PreemptLowerPriority",
        })
    );
}

#[test]
fn given_values_stay() {
    let spec = json!({
        "containers": [], "restartPolicy": "Never", "dnsPolicy": "None", "schedulerName": "mine",
        "terminationGracePeriodSeconds": 0, "enableServiceLinks": false, "securityContext": {"runAsUser": 1},
        "priority": 7, "preemptionPolicy": "Never", "hostUsers": false,
    });
    assert_eq!(defaulted(spec.clone()), spec);
}

#[test]
fn critical_classes_have_their_priority() {
    for (class, priority) in
        [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)]
    {
        assert_eq!(defaulted(json!({"containers": [], "priorityClassName": class}))["priority"], priority);
    }
}

#[test]
fn ports() {
    let spec = json!({"hostNetwork": true, "containers": [{"name": "a", "ports": [{"containerPort": 80}]}]});
    assert_eq!(
        defaulted(spec)["containers"][0]["ports"],
        json!([{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}])
    );
    assert_eq!(
        container(json!({"name": "a", "ports": [{"containerPort": 80, "protocol": "UDP"}]}))["ports"],
        json!([{"containerPort": 80, "protocol": "UDP"}])
    );
}

#[test]
fn probes_and_hooks() {
    let c = container(json!({
        "name": "a",
        "livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 3},
        "readinessProbe": {"grpc": {"port": 80}},
        "lifecycle": {"preStop": {"httpGet": {"port": "web", "path": "/bye", "scheme": "HTTPS"}}},
    }));
    assert_eq!(
        c["livenessProbe"],
        json!({"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 3,
            "successThreshold": 1, "failureThreshold": 3})
    );
    assert_eq!(c["readinessProbe"]["grpc"], json!({"port": 80, "service": ""}));
    assert_eq!(
        c["lifecycle"]["preStop"]["httpGet"],
        json!({"port": "web", "path": "/bye", "scheme": "HTTPS"})
    );
}

#[test]
fn limits_become_requests() {
    let c = container(json!({"name": "a", "resources": {
        "limits": {"cpu": "0.5", "memory": "1024Ki", "x.io/gpu": 1}, "requests": {"cpu": "0.00025"}}}));
    assert_eq!(
        c["resources"],
        json!({"limits": {"cpu": "500m", "memory": "1Mi", "x.io/gpu": "1"},
            "requests": {"cpu": "1m", "memory": "1Mi", "x.io/gpu": "1"}})
    );
    assert_eq!(
        c["resizePolicy"],
        json!([{"resourceName": "cpu", "restartPolicy": "NotRequired"},
            {"resourceName": "memory", "restartPolicy": "NotRequired"}])
    );
}

#[test]
fn init_containers_that_end_are_not_resized() {
    let own = json!({"limits": {"cpu": "1"}});
    let spec = defaulted(json!({"containers": [], "initContainers": [
        {"name": "a", "resources": own}, {"name": "b", "resources": own, "restartPolicy": "Always"}]}));
    assert_eq!(spec["initContainers"][0].get("resizePolicy"), None);
    assert_eq!(spec["initContainers"][1]["resizePolicy"][0]["resourceName"], "cpu");
}

/// KEP-2837, "Defaulting".
#[test]
fn pod_level_resources() {
    let limits = json!({"cpu": "2", "memory": "1Gi"});
    let spec = json!({"resources": {"limits": limits}, "containers": [
        {"name": "a", "resources": {"requests": {"cpu": "500m"}, "limits": {"hugepages-2Mi": "4Mi"}}},
        {"name": "b", "resources": {"requests": {"cpu": "250m"}}}]});
    assert_eq!(
        defaulted(spec)["resources"],
        json!({"limits": {"cpu": "2", "memory": "1Gi", "hugepages-2Mi": "4Mi"},
            "requests": {"cpu": "750m", "memory": "1Gi", "hugepages-2Mi": "4Mi"}})
    );
}

#[test]
fn volumes() {
    let spec = defaulted(json!({"containers": [], "volumes": [
        {"name": "a"}, {"name": "b", "hostPath": {"path": "/"}},
        {"name": "c", "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}},
            {"path": "q", "resourceFieldRef": {"resource": "limits.cpu", "containerName": "a"}}]}},
        {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {"name": "e", "image": {"reference": "x:1"}},
        {"name": "f", "secret": {"defaultMode": 256}},
        {"name": "g", "emptyDir": {"sizeLimit": "1024Mi"}}]}));
    assert_eq!(
        spec["volumes"],
        json!([
            {"name": "a", "emptyDir": {}},
            {"name": "b", "hostPath": {"path": "/", "type": ""}},
            {"name": "c", "downwardAPI": {"defaultMode": 420, "items": [
                {"path": "p", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}},
                {"path": "q", "resourceFieldRef": {"resource": "limits.cpu", "containerName": "a", "divisor": "0"}}]}},
            {"name": "d", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}},
            {"name": "e", "image": {"reference": "x:1", "pullPolicy": "IfNotPresent"}},
            {"name": "f", "secret": {"defaultMode": 256}},
            {"name": "g", "emptyDir": {"sizeLimit": "1Gi"}},
        ])
    );
}
