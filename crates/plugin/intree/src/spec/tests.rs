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
    wanted(&pod(), Source::Persistent { volume: &volume, name: "data", read_only }, None)
}

fn inline(spec: serde_json::Value) -> Result<Wanted, SpecError> {
    let volume: Volume = serde_json::from_value(spec).unwrap();
    wanted(&pod(), Source::Inline(&volume), None)
}

#[test]
fn a_local_volume() {
    let found = persistent(json!({"local": {"path": "/mnt/a"}, "mountOptions": ["noatime"]}), false).unwrap();
    let target = Target {
        pod: "u1".into(),
        plugin: Plugin::Local,
        mode: VolumeMode::Filesystem,
        spec_name: "pv-1".into(),
    };
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
fn what_can_be_had_as_a_device() {
    let found = |source: serde_json::Value| {
        let mut spec = source;
        spec["volumeMode"] = json!("Block");
        persistent(spec, false).map(|wanted| (wanted.target.mode, wanted.device().unwrap().to_string()))
    };
    let iscsi = json!({"iscsi": {"targetPortal": "10.0.0.1", "iqn": "iqn.a", "lun": 3}});
    for (source, device) in [
        (json!({"local": {"path": "/dev/sdb"}}), "kubernetes.io~local-volume/volumeDevices/pv-1"),
        (iscsi, "kubernetes.io/iscsi/volumeDevices/iface-default/10.0.0.1:3260-iqn.a-lun-3"),
        (json!({"fc": {"wwids": ["3600"]}}), "kubernetes.io/fc/volumeDevices/3600"),
    ] {
        assert_eq!(found(source), Ok((VolumeMode::Block, format!("plugins/{device}"))));
    }
    for source in [json!({"nfs": {"server": "nas", "path": "/e"}}), json!({"flexVolume": {"driver": "d"}})] {
        assert_eq!(found(source), Err(SpecError::Block("pv-1".into())));
    }
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
    let odd = inline(json!({"name": "share", "nfs": {"server": "-T/tmp/fstab", "path": "/e"}})).unwrap_err();
    assert!(odd.to_string().contains("begins with a dash"), "{odd}");
}

#[test]
fn what_is_made_by_others() {
    for spec in [json!({"csi": {"driver": "d", "volumeHandle": "h"}}), json!({"hostPath": {"path": "/"}})] {
        let volume = volume(spec.clone());
        let source = Source::Persistent { volume: &volume, name: "data", read_only: false };
        assert!(!source.is_ours() && wanted(&pod(), source, None).is_err(), "{spec}");
    }
    assert!(inline(json!({"name": "v", "emptyDir": {}})).is_err());
}

#[test]
fn iscsi_by_claim_and_inline() {
    let found = inline(json!({"name": "disk", "iscsi": {
        "targetPortal": "10.0.0.1", "portals": ["10.0.0.2:860", "10.0.0.1:3260"], "iqn": "iqn.a", "lun": 3, "fsType": "xfs",
        "iscsiInterface": "default", "readOnly": true,
    }}))
    .unwrap();
    let Kind::Iscsi(disk) = &found.kind else { panic!("{found:?}") };
    assert_eq!(disk.portals, ["10.0.0.1:3260", "10.0.0.2:860"], "each once");
    assert_eq!((disk.iface.as_str(), disk.fs_type.as_str(), found.read_only), ("default", "xfs", true));
    assert_eq!(found.unique_name.as_deref(), Some("kubernetes.io/iscsi/10.0.0.1:iqn.a:3"));

    let volume = volume(json!({"iscsi": {
        "targetPortal": "10.0.0.1:3260", "iqn": "iqn.a", "lun": 0, "initiatorName": "iqn.me",
        "chapAuthSession": true, "secretRef": {"name": "chap"},
    }}));
    let source = Source::Persistent { volume: &volume, name: "data", read_only: false };
    let name = SecretName { namespace: "prod".into(), name: "chap".into() };
    assert_eq!(source.secret(&pod()), Some(name));
    let secret = |key: &str, value: &[u8]| corev1::Secret {
        data: Some([(key.to_owned(), types::k8s::ByteString(value.to_vec()))].into()),
        ..corev1::Secret::default()
    };
    let given = secret("node.session.auth.password", b"hunter2");
    let found = wanted(&pod(), source, Some(&given)).unwrap();
    let Kind::Iscsi(disk) = &found.kind else { panic!("{found:?}") };
    assert_eq!((disk.iface.as_str(), disk.initial_iface.as_str()), ("10.0.0.1:3260:pv-1", "default"));
    assert_eq!(disk.secret.0["node.session.auth.password"], "hunter2");
    assert!(!format!("{found:?}").contains("hunter2"));
    assert!(wanted(&pod(), source, Some(&secret("k", b"\xff"))).is_err());
}

#[test]
fn a_file_system_is_no_path() {
    let odd = inline(json!({"name": "disk", "fc": {"wwids": ["3600"], "fsType": "x/../../tmp/evil"}}));
    assert_eq!(odd, Err(SpecError::FsType("x/../../tmp/evil".into())));
}

#[test]
fn no_secret_without_a_use_for_it() {
    let volume = volume(json!({"iscsi": {
        "targetPortal": "10.0.0.1", "iqn": "iqn.a", "lun": 0, "secretRef": {"name": "chap", "namespace": "x"},
    }}));
    let source = Source::Persistent { volume: &volume, name: "data", read_only: false };
    assert_eq!(source.secret(&pod()), None);
}

#[test]
fn fc_by_its_names() {
    let found =
        persistent(json!({"fc": {"targetWWNs": ["a", "b"], "lun": 0, "fsType": "ext4"}}), false).unwrap();
    assert_eq!(found.unique_name.as_deref(), Some("kubernetes.io/fc/[a b]:0"));
    let found = inline(json!({"name": "disk", "fc": {"wwids": ["3600 1"]}})).unwrap();
    assert_eq!(found.unique_name.as_deref(), Some("kubernetes.io/fc/[3600 1]"));
    assert_eq!(found.device().unwrap().to_string(), "plugins/kubernetes.io/fc/3600_1");
    assert!(matches!(inline(json!({"name": "disk", "fc": {"lun": 1}})), Err(SpecError::NoDisk(_))));
    assert!(matches!(inline(json!({"name": "disk", "fc": {"wwids": ["a/b"]}})), Err(SpecError::Name(_))));
}

#[test]
fn flex_volumes_and_their_secrets() {
    let volume: Volume = serde_json::from_value(json!({"name": "flex", "flexVolume": {
        "driver": "example.com/lvm", "fsType": "ext4", "secretRef": {"name": "s"}, "options": {"size": "1"},
    }}))
    .unwrap();
    let source = Source::Inline(&volume);
    assert_eq!(source.secret(&pod()), Some(SecretName { namespace: "prod".into(), name: "s".into() }));
    let secret = |kind: &str| corev1::Secret {
        type_: Some(kind.to_owned()),
        data: Some([("k".to_owned(), types::k8s::ByteString(b"hunter2".to_vec()))].into()),
        ..corev1::Secret::default()
    };
    let found = wanted(&pod(), source, Some(&secret("example.com/lvm"))).unwrap();
    let Kind::Flex(flex) = &found.kind else { panic!("{found:?}") };
    assert_eq!(flex.secret.0["k"], "aHVudGVyMg==");
    assert_eq!(flex.pod["kubernetes.io/pod.namespace"], "prod");
    assert_eq!(found.unique_name.as_deref(), Some("example.com/lvm/flex"));
    assert_eq!(found.target.plugin.dir(), "example.com~lvm");
    assert!(wanted(&pod(), source, Some(&secret("Opaque"))).is_err());
    let error = inline(json!({"name": "flex", "flexVolume": {"driver": "../x"}})).unwrap_err();
    assert!(matches!(error, SpecError::Driver(_)), "{error}");
}
