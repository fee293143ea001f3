use serde_json::json;

use super::*;

fn pod() -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "db", "namespace": "prod", "uid": "u1"},
        "spec": {
            "containers": [],
            "securityContext": {"fsGroup": 7, "fsGroupChangePolicy": "OnRootMismatch"},
        },
    }))
    .unwrap()
}

fn volume(spec: serde_json::Value) -> PersistentVolume {
    serde_json::from_value(json!({"metadata": {"name": "pv-1"}, "spec": spec})).unwrap()
}

fn persistent(spec: serde_json::Value, read_only: bool) -> Result<Wanted, SpecError> {
    let volume = volume(spec);
    wanted(&pod(), Source::Persistent { volume: &volume, name: "data", read_only })
}

fn inline(spec: serde_json::Value) -> Result<Wanted, SpecError> {
    let volume: Volume = serde_json::from_value(spec).unwrap();
    wanted(&pod(), Source::Inline(&volume))
}

#[test]
fn a_local_volume() {
    let found = persistent(json!({"local": {"path": "/mnt/a"}, "mountOptions": ["noatime"]}), false).unwrap();
    let target = Target { pod: "u1".into(), plugin: Plugin::Local, spec_name: "pv-1".into() };
    assert_eq!((found.target, found.name.as_str()), (target, "data"));
    assert_eq!(found.group, Some(Group { id: 7, policy: ChangePolicy::OnRootMismatch }));
    assert_eq!(found.mount_options, ["noatime"]);
    assert_eq!(found.kind, Kind::Local(Local { path: "/mnt/a".into(), fs_type: "ext4".into() }));
    let found = persistent(json!({"local": {"path": "/dev/sdb", "fsType": "xfs"}}), true).unwrap();
    assert_eq!(found.kind, Kind::Local(Local { path: "/dev/sdb".into(), fs_type: "xfs".into() }));
    assert!(found.read_only);
    let error = persistent(json!({"local": {"path": ""}}), false).unwrap_err();
    assert_eq!(error.to_string(), "LocalVolume volume \"pv-1\" path is empty");
}

#[test]
fn nfs_by_claim_and_inline() {
    let nfs = Kind::Nfs(Nfs { server: "nas".into(), path: "/e".into() });
    // Whether a claim's volume is read-only says the claim.
    let source = json!({"nfs": {"server": "nas", "path": "/e", "readOnly": true}, "mountOptions": ["hard"]});
    let found = persistent(source, false).unwrap();
    assert_eq!((found.kind, found.read_only), (nfs.clone(), false));
    assert_eq!(found.mount_options, ["hard"]);
    let found =
        inline(json!({"name": "share", "nfs": {"server": "nas", "path": "/e", "readOnly": true}})).unwrap();
    assert_eq!((found.kind.clone(), found.read_only), (nfs, true));
    assert_eq!((found.target.spec_name.as_str(), found.name.as_str()), ("share", "share"));
    assert!(!found.is_relabeled());
}

#[test]
fn what_is_made_by_others() {
    for spec in [json!({"csi": {"driver": "d", "volumeHandle": "h"}}), json!({"hostPath": {"path": "/"}})] {
        let volume = volume(spec.clone());
        let source = Source::Persistent { volume: &volume, name: "data", read_only: false };
        assert!(!source.is_ours() && wanted(&pod(), source).is_err(), "{spec}");
    }
    assert!(inline(json!({"name": "v", "emptyDir": {}})).is_err());
}
