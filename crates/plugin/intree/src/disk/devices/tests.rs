use super::*;

const TARGET: &str = "10.0.0.1:3260-iqn.a-lun-";

fn target(pod: &str, plugin: Plugin) -> Target {
    Target { pod: pod.into(), plugin, mode: VolumeMode::Block, spec_name: "raw".into() }
}

/// A root directory, and its layout.
fn world() -> (tempfile::TempDir, Layout) {
    let tmp = tempfile::tempdir().unwrap();
    let layout = Layout::new(tmp.path().to_owned());
    (tmp, layout)
}

/// The pod's link leads to `to`, as another kubelet has made it.
fn make_link(layout: &Layout, target: &Target, to: &Path) {
    let path = layout.target(target).unwrap();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(to, path).unwrap();
}

/// Another kubelet holds the disk `lun` for the pod.
fn hold(layout: &Layout, lun: u32, pod: &str) -> Device {
    let device = Device::iscsi("default", &format!("{TARGET}{lun}"), VolumeMode::Block).unwrap();
    let dir = layout.device(&device);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join(pod), "").unwrap();
    device
}

#[test]
fn marks() {
    let mark = Mark { name: "data".into(), boot: "b".into(), numbers: 1793, path: "/dev/disk/x y".into() };
    assert_eq!(Mark::parse(&mark.text().unwrap()), Some(mark.clone()));
    assert!(!mark.holds(Path::new("/dev/disk/x y")), "it is of another boot");
    for text in ["", "data", "data\nb\n1", "data\nb\nsdb\n/dev/x"] {
        assert_eq!(Mark::parse(text), None, "{text:?}");
    }
}

#[test]
fn what_another_kubelet_holds_is_found_by_the_pods_link() {
    let (_tmp, layout) = world();
    let (a, b) = (target("a", Plugin::Iscsi), target("b", Plugin::Iscsi));
    assert_eq!(device_of(&layout, &a).unwrap(), None);
    make_link(&layout, &a, Path::new("/dev/no-such-disk"));
    let seen = look(&layout, &a).unwrap();
    assert_eq!((seen.shown.directory, seen.device, seen.held), (true, None, false));
    let device = hold(&layout, 3, "a");
    let seen = look(&layout, &a).unwrap();
    assert_eq!((seen.device.as_ref(), seen.held, seen.shown.mounted), (Some(&device), true, false));
    assert_eq!(super::super::targets_of(&layout, &a.pod).unwrap(), std::slice::from_ref(&a));
    assert!(is_held(&layout, &device, None).unwrap());
    assert!(!is_held(&layout, &device, Some(&a)).unwrap());
    assert!(!is_held(&layout, &device, Some(&target("a", Plugin::Fc))).unwrap());
    assert!(is_held(&layout, &device, Some(&b)).unwrap());

    // Of two disks that are away nobody can say which it was.
    let other = hold(&layout, 4, "a");
    assert_eq!(device_of(&layout, &a).unwrap(), None);
    let_go(&layout, &other, &a.pod).unwrap();
    assert_eq!(device_of(&layout, &a).unwrap(), Some(device.clone()));
    unlink(&layout, &a).unwrap();
    unlink(&layout, &a).unwrap();
    assert!(!is_held(&layout, &device, None).unwrap(), "the pod has it no more");

    let dir = layout.device(&device);
    fs::write(dir.join("iscsi.json"), "{}").unwrap();
    fs::create_dir(dir.join("precious")).unwrap();
    let_go_of_all(&layout, &device).unwrap();
    assert_eq!(entries(&dir, Path::new(".")).unwrap(), ["iscsi.json", "precious"]);
}

#[test]
fn a_local_disk_is_known_by_its_name() {
    let (_tmp, layout) = world();
    let local = target("a", Plugin::Local);
    make_link(&layout, &local, Path::new("/dev/no-such-disk"));
    let seen = look(&layout, &local).unwrap();
    assert_eq!(seen.device, Device::local("raw", VolumeMode::Block));
    assert!(!seen.held && !seen.shown.noted);
}

#[test]
fn nothing_but_disks_is_linked_and_nothing_but_links_goes() {
    let (tmp, layout) = world();
    let local = target("a", Plugin::Local);
    let precious = tmp.path().join("precious");
    fs::write(&precious, "data").unwrap();
    for (path, kind) in [(precious.as_path(), "a regular file"), (Path::new("/dev/null"), "a character")] {
        let error = link(&layout, &local, path).unwrap_err();
        assert!(error.to_string().contains(kind), "{error}");
    }
    make_link(&layout, &local, &precious);
    // A mark is of use only for a disk.
    mark(&layout, &local, "data").unwrap();
    assert!(!look(&layout, &local).unwrap().shown.marked);
    unlink(&layout, &local).unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "data");
    let path = layout.target(&local).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(look(&layout, &local), Err(DiskError::NoLink { .. })));
    assert!(unlink(&layout, &local).is_err());
    for name in ["", "..", "a/b"] {
        let odd = Target { spec_name: name.into(), ..local.clone() };
        assert!(look(&layout, &odd).is_err() && unlink(&layout, &odd).is_err(), "{name:?}");
    }
    // The directory of links leads elsewhere.
    let outside = tmp.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::remove_dir(&path).unwrap();
    fs::remove_dir(path.parent().unwrap()).unwrap();
    symlink(&outside, path.parent().unwrap()).unwrap();
    symlink(&precious, outside.join("raw")).unwrap();
    assert!(look(&layout, &local).is_err() && unlink(&layout, &local).is_err());
    assert!(outside.join("raw").exists());
}
