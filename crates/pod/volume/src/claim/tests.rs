use serde_json::{Value, json};

use super::*;

fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "db", "namespace": "prod", "uid": "pod-uid"},
        "spec": {
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "data-0", "readOnly": true}},
                {"name": "raw", "persistentVolumeClaim": {"claimName": "raw-0"}},
                {"name": "tmp", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
                {"name": "none"},
            ],
            "initContainers": [{"name": "i", "volumeDevices": [{"name": "raw", "devicePath": "/dev/x"}]}],
            "containers": [{"name": "c", "volumeMounts": [
                {"name": "data", "mountPath": "/d"}, {"name": "tmp", "mountPath": "/t"},
            ]}],
        },
    }))
    .unwrap()
}

fn volume(index: usize) -> Volume {
    pod().spec.unwrap().volumes.unwrap()[index].clone()
}

/// Merges `change` into the JSON of an object.
fn changed<T: serde::de::DeserializeOwned>(mut base: Value, change: Value) -> T {
    fn merge(base: &mut Value, change: Value) {
        match (base, change) {
            (Value::Object(base), Value::Object(change)) => {
                for (key, value) in change {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
            (base, change) => *base = change,
        }
    }
    merge(&mut base, change);
    serde_json::from_value(base).unwrap()
}

fn claim(change: Value) -> PersistentVolumeClaim {
    let base = json!({
        "metadata": {"name": "data-0", "namespace": "prod", "uid": "claim-uid"},
        "spec": {"volumeName": "pv-1"},
        "status": {"phase": "Bound"},
    });
    changed(base, change)
}

fn found(change: Value) -> PersistentVolume {
    let base = json!({
        "metadata": {"name": "pv-1"},
        "spec": {"claimRef": {"name": "data-0", "namespace": "prod", "uid": "claim-uid"}, "volumeMode": "Filesystem"},
    });
    changed(base, change)
}

#[test]
fn the_claim_of_a_volume() {
    let named = |index| name(&pod(), &volume(index));
    let of = |name: &str, read_only, is_of_pod| Some(ClaimName { name: name.into(), read_only, is_of_pod });
    assert_eq!(named(0), of("data-0", true, false));
    assert_eq!(named(1), of("raw-0", false, false));
    assert_eq!(named(2), of("db-tmp", false, true));
    assert_eq!(named(3), None);
}

#[test]
fn what_a_pod_gets() {
    let (pod, volume) = (pod(), volume(0));
    let name = name(&pod, &volume).unwrap();
    let pv = found(json!({"metadata": {"annotations": {"pv.beta.kubernetes.io/gid": "1234"}}}));
    let bound = bound(&pod, &volume, &name, &claim(json!({})), &pv).unwrap();
    assert_eq!((bound.read_only, bound.mode), (true, VolumeMode::Filesystem));
    assert_eq!(group(&pv), Some(1234));
    for (annotations, expected) in [
        (json!({}), None),
        (json!({"pv.beta.kubernetes.io/gid": "0"}), Some(0)),
        (json!({"pv.beta.kubernetes.io/gid": ""}), None),
        (json!({"pv.beta.kubernetes.io/gid": "-1"}), None),
        (json!({"pv.beta.kubernetes.io/gid": "staff"}), None),
    ] {
        assert_eq!(group(&found(json!({"metadata": {"annotations": annotations}}))), expected);
    }
}

#[test]
fn why_a_pod_does_not_get_it() {
    let nothing = || json!({});
    let about = |why: &str| format!("error processing PVC prod/data-0: {why}");
    let table: [(Value, Value, String); 9] = [
        (
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            nothing(),
            about("PVC is being deleted"),
        ),
        (json!({"status": {"phase": "Pending"}}), nothing(), about("PVC is not bound")),
        (json!({"status": {"phase": "Lost"}}), nothing(), about("PVC is not bound")),
        (json!({"spec": {"volumeName": ""}}), nothing(), about("PVC has empty pvc.Spec.VolumeName")),
        (
            nothing(),
            json!({"spec": {"claimRef": null}}),
            about(
                "found PV object pv-1 but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim",
            ),
        ),
        (
            nothing(),
            json!({"spec": {"claimRef": {"uid": "old-uid"}}}),
            about(
                "found PV object pv-1 but its pv.Spec.ClaimRef.UID old-uid does not point to claim.UID claim-uid",
            ),
        ),
        (
            nothing(),
            json!({"spec": {"volumeMode": "Block"}}),
            "volume data has volumeMode Block, but is specified in volumeMounts".into(),
        ),
        (
            nothing(),
            json!({"spec": {"volumeMode": "Tape"}}),
            "volume data has volumeMode Tape, but is specified in volumeMounts".into(),
        ),
        (nothing(), json!({"spec": {"volumeMode": null}}), "cannot get volumeMode for volume: pv-1".into()),
    ];
    let (pod, volume) = (pod(), volume(0));
    let name = name(&pod, &volume).unwrap();
    for (of_claim, of_volume, expected) in table {
        let error = bound(&pod, &volume, &name, &claim(of_claim), &found(of_volume)).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_claim_that_is_going_is_used_as_long_as_it_is_protected() {
    let (pod, volume) = (pod(), volume(0));
    let name = name(&pod, &volume).unwrap();
    let going = claim(json!({"metadata": {
        "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["kubernetes.io/pvc-protection"],
    }}));
    assert_eq!(volume_of(&pod, &name, &going), Ok("pv-1"));
}

#[test]
fn a_device_is_no_directory() {
    let (pod, volume) = (pod(), volume(1));
    let name = name(&pod, &volume).unwrap();
    let block =
        bound(&pod, &volume, &name, &claim(json!({})), &found(json!({"spec": {"volumeMode": "Block"}})))
            .map(|bound| bound.mode);
    assert_eq!(block, Ok(VolumeMode::Block));
    let error = bound(&pod, &volume, &name, &claim(json!({})), &found(json!({}))).unwrap_err();
    assert_eq!(error.to_string(), "volume raw has volumeMode Filesystem, but is specified in volumeDevices");
}

#[test]
fn a_claim_that_is_made_for_a_pod_is_that_pods_alone() {
    let (pod, volume) = (pod(), volume(2));
    let name = name(&pod, &volume).unwrap();
    let owned_by = |uid: &str, controller: bool| {
        claim(json!({"metadata": {"name": "db-tmp", "ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": "db", "uid": uid, "controller": controller},
        ]}}))
    };
    assert_eq!(volume_of(&pod, &name, &owned_by("pod-uid", true)), Ok("pv-1"));
    for wrong in [
        owned_by("another", true),
        owned_by("pod-uid", false),
        claim(json!({"metadata": {"name": "db-tmp"}})),
    ] {
        assert_eq!(
            volume_of(&pod, &name, &wrong).unwrap_err().to_string(),
            "PVC prod/db-tmp was not created for pod prod/db (pod is not owner)"
        );
    }
}
