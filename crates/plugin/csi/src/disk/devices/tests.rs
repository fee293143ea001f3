use super::*;
use crate::layout::VolumeId;
use crate::note::Lifecycle;

fn target(pod: &str, pv: &str) -> Target {
    Target { pod: PodUid::from(pod), mode: VolumeMode::Block, spec_name: pv.into() }
}

fn site(pv: &str) -> Site {
    Site { volume: VolumeId { driver: "d".into(), handle: format!("of-{pv}") }, device: Some(pv.into()) }
}

fn note(pv: &str) -> Note {
    Note::Published {
        volume: site(pv).volume,
        spec_name: pv.into(),
        node: "n".into(),
        lifecycle: Lifecycle::Persistent,
        selinux_context: None,
    }
}

fn mounts() -> MountTable {
    MountTable::read().unwrap()
}

/// A root directory, and its layout.
fn world() -> (tempfile::TempDir, Layout) {
    let tmp = tempfile::tempdir().unwrap();
    let layout = Layout::new(tmp.path().to_owned());
    (tmp, layout)
}

#[test]
fn from_nothing_to_nothing() {
    let (tmp, layout) = world();
    let (at, here) = (target("u", "pv"), site("pv"));
    let seen = || look_published(&layout, &at, &mounts()).unwrap();
    let staged = || look_staged(&layout, &here, "pv", &mounts()).unwrap();
    assert_eq!((seen().shown, staged()), (Shown::default(), Shown::default()));

    prepare_target(&layout, &at, &note("pv")).unwrap();
    let prepared = Shown { directory: true, note: true, mounted: false, mark: false };
    assert_eq!(seen(), Seen { shown: prepared, whose: Whose::Of(here.volume.clone()) });
    assert_eq!(staged(), prepared);
    let link = tmp.path().join("pods/u/volumeDevices/kubernetes.io~csi/pv");
    let file = tmp.path().join("plugins/kubernetes.io/csi/volumeDevices/publish/pv/u");
    assert_eq!(fs::read_link(&link).unwrap(), file);
    let data = tmp.path().join("plugins/kubernetes.io/csi/volumeDevices/pv/data/vol_data.json");
    assert!(fs::read_to_string(&data).unwrap().contains("\"specVolID\":\"pv\""));
    prepare_staging(&layout, "pv", &note("pv")).unwrap();
    assert!(tmp.path().join("plugins/kubernetes.io/csi/volumeDevices/staging/pv").is_dir());
    assert_eq!(super::super::targets_of(&layout, &at.pod).unwrap(), std::slice::from_ref(&at));
    assert_eq!(super::staged(&layout).unwrap(), std::slice::from_ref(&here));

    // What a driver left is no device, and goes.
    fs::write(&file, "").unwrap();
    forget_target(&layout, &at, &mounts()).unwrap();
    assert!(!file.exists() && fs::symlink_metadata(&link).is_err());
    forget_staging(&layout, "pv", &mounts()).unwrap();
    assert_eq!(staged(), Shown::default());
    let left = tmp.path().join("plugins/kubernetes.io/csi/volumeDevices");
    let mut left: Vec<_> = fs::read_dir(left).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["publish", "staging"]);
    // Doing it again is the same as once.
    forget_target(&layout, &at, &mounts()).unwrap();
    forget_staging(&layout, "pv", &mounts()).unwrap();
}

#[test]
fn a_link_that_led_elsewhere_is_made_anew_and_what_it_led_to_stays() {
    let (tmp, layout) = world();
    let links = tmp.path().join("pods/u/volumeDevices/kubernetes.io~csi");
    fs::create_dir_all(&links).unwrap();
    let precious = tmp.path().join("precious");
    fs::write(&precious, "data").unwrap();
    symlink(&precious, links.join("pv")).unwrap();
    prepare_target(&layout, &target("u", "pv"), &note("pv")).unwrap();
    assert!(fs::read_link(links.join("pv")).unwrap().ends_with("publish/pv/u"));
    forget_target(&layout, &target("u", "pv"), &mounts()).unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "data");
}

#[test]
fn what_another_pod_has_keeps_the_note() {
    let (_tmp, layout) = world();
    for pod in ["a", "b"] {
        prepare_target(&layout, &target(pod, "pv"), &note("pv")).unwrap();
        fs::write(layout.device_path("pv", &PodUid::from(pod)), "").unwrap();
    }
    forget_target(&layout, &target("a", "pv"), &mounts()).unwrap();
    let refused = forget_staging(&layout, "pv", &mounts()).unwrap_err();
    assert!(refused.to_string().contains("publish/pv"), "{refused}");
    let seen = look_published(&layout, &target("b", "pv"), &mounts()).unwrap();
    assert_eq!(seen.whose, Whose::Of(site("pv").volume));
    // Somebody removed the pod's directory: what was published to it is still its.
    fs::remove_dir_all(layout.pods_dir().join("b")).unwrap();
    fs::create_dir_all(layout.pods_dir().join("b")).unwrap();
    assert_eq!(targets_of(&layout, &PodUid::from("b")).unwrap(), [target("b", "pv")]);
}

#[test]
fn names_that_lead_elsewhere() {
    let (_tmp, layout) = world();
    for name in ["staging", "publish", "..", "a/b", ""] {
        let refused = prepare_target(&layout, &target("u", name), &note(name));
        assert!(matches!(refused, Err(DiskError::Name(_))), "{name}");
    }
    let mut other = site("pv");
    prepare_staging(&layout, "pv", &note("pv")).unwrap();
    other.volume.handle = "another".into();
    let refused = look_staged(&layout, &other, "pv", &mounts()).unwrap_err();
    assert!(matches!(refused, DiskError::Another { .. }), "{refused}");
}
