//! What is refused, and with which words: the field is always named.

use crate::cluster::Cluster;
use crate::manifests;

/// Manifests that are wrong, and what the refusal has to say.
const WRONG: [(&str, &str); 21] = [
    ("kind: [", "error converting YAML to JSON"),
    ("{apiVersion: v1, kind: Foo, metadata: {name: x}}", "no matches for kind \"Foo\" in version \"v1\""),
    ("{apiVersion: apps/v1, kind: Deployment, metadata: {name: x}}", "no matches for kind \"Deployment\""),
    ("{apiVersion: v1, kind: ConfigMap, data: {a: b}}", "resource name may not be empty"),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: X_y}}", "metadata.name: Invalid value: \"X_y\""),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {a: 1}}", "invalid type: integer"),
    ("{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {a/b: c}}", "data[a/b]: Invalid value"),
    (
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: nowhere}}",
        "namespaces \"nowhere\" not found",
    ),
    ("{apiVersion: v1, kind: Secret, metadata: {name: x}, data: {a: '?'}}", "cannot be handled as a Secret"),
    ("{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}", "metadata.name: Invalid value: \"a.b\""),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: []}}",
        "spec.containers: Required value",
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: a}]}}",
        "spec.containers[0].image: Required value",
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: A, image: i}], restartPolicy: Often}}",
        "spec.restartPolicy: Unsupported value: \"Often\"",
    ),
    (
        "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: a, image: i, volumeMounts: [{name: v, mountPath: /v}]}]}}",
        "spec.containers[0].volumeMounts[0].name: Not found: \"v\"",
    ),
    (
        "{apiVersion: v1, kind: Service, metadata: {name: x}, spec: {ports: [{port: 0}]}}",
        "spec.ports[0].port: Invalid value",
    ),
    (
        "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: x}, spec: {accessModes: [Often], resources: {requests: {storage: 1Gi}}}}",
        "spec.accessModes: Unsupported value: \"Often\"",
    ),
    (
        "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: x}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: much}}}}",
        "spec.resources.requests[storage]: Invalid value: \"much\"",
    ),
    (
        "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: x}, spec: {leaseDurationSeconds: 0}}",
        "spec.leaseDurationSeconds: Invalid value: must be greater than 0",
    ),
    (
        "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: x}, value: 2000000000}",
        "value: Forbidden: maximum allowed value",
    ),
    (
        "{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: x}}",
        "provisioner: Required value",
    ),
    (
        "{apiVersion: certificates.k8s.io/v1, kind: CertificateSigningRequest, metadata: {name: x}, spec: {request: YQ==, signerName: a/b, usages: [client auth]}}",
        "spec.request: Invalid value",
    ),
];

#[test]
fn real_wrong_manifests() {
    let Some(cluster) = Cluster::start() else { return };
    for (manifest, expected) in WRONG {
        let refused = cluster.refuses(manifest);
        assert!(refused.contains(expected), "{manifest}: {refused}");
    }
    if cluster.minor >= 27 {
        let misspelt = manifests::POD
            .replace("image:", "imagee: a, image:")
            .replace("imagee: a, image: nginx:1", "image: nginx:1\n    imagee: a");
        assert!(cluster.refuses(&misspelt).contains("unknown field \"spec.containers[0].imagee\""));
    }
    assert_eq!(cluster.ok("get pods,cm -o name"), "configmap/kube-root-ca.crt");
}

#[test]
fn real_wrong_changes() {
    let Some(cluster) = Cluster::with_node() else { return };
    cluster.create(manifests::POD);
    cluster.create(manifests::CONFIG_MAP);
    let change = manifests::POD.replace("containerPort: 80", "containerPort: 81");
    assert!(cluster.refuses(&change).contains("spec: Forbidden: pod updates may not change fields"));
    for (args, expected) in [
        (
            "patch cm x --type=json -p [{\"op\":\"test\",\"path\":\"/data/a\",\"value\":\"2\"}]",
            "The request is invalid",
        ),
        ("patch cm x -p {\"metadata\":{\"name\":\"y\"}}", "does not match the name on the URL"),
        ("patch cm y -p {}", "configmaps \"y\" not found"),
        ("patch pod x -p {\"spec\":{\"containers\":[{\"image\":\"i\"}]}}", "\"name\""),
        (
            "patch node n1 -p {\"spec\":{\"taints\":[{\"key\":\"a\",\"effect\":\"Bad\"}]}}",
            "spec.taints[0].effect: Unsupported value",
        ),
        ("label cm x a=b --resource-version=1", "(Conflict)"),
        ("delete ns default", "(Forbidden)"),
        ("get pods x y -o name", "pods \"y\" not found"),
        ("get pods -n nowhere x", "(NotFound)"),
        ("get pods -l a=(", "unable to parse"),
        ("get pods --field-selector spec.colour=red", "field label not supported: spec.colour"),
        ("get dogs", "the server doesn't have a resource type \"dogs\""),
        ("get --raw /nothing", "(NotFound)"),
    ] {
        let refused = cluster.fails(args);
        assert!(refused.contains(expected), "{args}: {refused}");
    }
}
