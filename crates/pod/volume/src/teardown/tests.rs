use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use linux::mount::Tmpfs;

use super::*;
use crate::testing::{Ground, uid};

#[test]
fn a_pod_that_has_nothing_is_fine() {
    let dir = tempfile::tempdir().unwrap();
    volumes(dir.path(), &uid()).unwrap();
    pod_dir(dir.path(), &uid()).unwrap();
    assert!(orphans(dir.path(), &HashSet::new()).unwrap().is_empty());
    PodPaths::new(dir.path(), &uid()).unwrap().create().unwrap();
    pod_dir(dir.path(), &uid()).unwrap();
    assert!(!dir.path().join("pods/u").exists());
    assert!(matches!(pod_dir(dir.path(), &"../x".into()), Err(TeardownError::Uid(_))));
}

#[test]
fn orphans_are_the_directories_of_unknown_pods() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        std::fs::create_dir_all(dir.path().join("pods").join(name)).unwrap();
    }
    std::fs::write(dir.path().join("pods/file"), "").unwrap();
    symlink("/etc", dir.path().join("pods/link")).unwrap();
    std::fs::create_dir(dir.path().join("pods").join(OsStr::from_bytes(b"odd\xff"))).unwrap();
    let known = HashSet::from(["b".into()]);
    assert_eq!(orphans(dir.path(), &known).unwrap(), ["a".into(), "c".into()]);
}

#[test]
fn links_are_removed_and_not_followed() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(outside.path().join("kept"), "").unwrap();
    let paths = PodPaths::new(dir.path(), &uid()).unwrap();
    paths.create().unwrap();
    std::fs::create_dir(paths.volumes().join(EMPTY_DIR)).unwrap();
    symlink(outside.path(), paths.volume(EMPTY_DIR, "v")).unwrap();
    symlink(outside.path(), paths.subpaths()).unwrap();
    std::fs::write(paths.dir().join(OsStr::from_bytes(b"odd\xff\n")), "").unwrap();
    pod_dir(dir.path(), &uid()).unwrap();
    assert!(!paths.dir().exists() && outside.path().join("kept").exists());

    symlink(outside.path(), paths.dir()).unwrap();
    assert!(volumes(dir.path(), &uid()).is_err(), "a pod's directory that is a link is nobody's");
    std::fs::remove_file(paths.dir()).unwrap();
    std::fs::create_dir(paths.dir()).unwrap();
    symlink(outside.path(), paths.volumes()).unwrap();
    assert!(pod_dir(dir.path(), &uid()).is_err());
    assert!(outside.path().join("kept").exists());
}

#[test]
fn volumes_of_other_plugins_are_left_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let paths = PodPaths::new(dir.path(), &uid()).unwrap();
    paths.create().unwrap();
    std::fs::create_dir_all(paths.volume("kubernetes.io~csi", "pvc-1")).unwrap();
    let error = pod_dir(dir.path(), &uid()).unwrap_err();
    assert!(
        matches!(&error, TeardownError::Foreign { plugin, .. } if plugin == "kubernetes.io~csi"),
        "{error}"
    );
    assert!(paths.volume("kubernetes.io~csi", "pvc-1").exists());
    std::fs::remove_dir(paths.volume("kubernetes.io~csi", "pvc-1")).unwrap();
    pod_dir(dir.path(), &uid()).unwrap();
}

#[test]
fn real_every_mount_goes_before_anything_is_removed() {
    let Some(ground) = Ground::new() else { return };
    let (paths, host) = (ground.paths(), ground.dir("host"));
    std::fs::write(host.join("precious"), "").unwrap();
    let memory = paths.volume(EMPTY_DIR, "m");
    std::fs::create_dir_all(&memory).unwrap();
    mount::tmpfs(&memory, Tmpfs::default()).unwrap();
    // Mounted by a container with bidirectional propagation, and by berth for a subPath; twice on one another.
    for point in [memory.join("inner"), paths.subpath("v", "c", 0), paths.subpath("v", "c", 0)] {
        std::fs::create_dir_all(&point).unwrap();
        mount::bind(&host, &point).unwrap();
    }
    volumes(ground.path(), &uid()).unwrap();
    assert!(host.join("precious").exists());
    assert!(Ground::mounts(paths.dir()).is_empty());
    assert!(!paths.volumes().exists() && !paths.subpaths().exists() && paths.dir().exists());
}

#[test]
fn real_a_mount_in_use_stops_the_removal_which_then_continues() {
    let Some(ground) = Ground::new() else { return };
    let paths = ground.paths();
    let memory = paths.volume(EMPTY_DIR, "m");
    std::fs::create_dir_all(&memory).unwrap();
    mount::tmpfs(&memory, Tmpfs::default()).unwrap();
    let open = std::fs::File::create(memory.join("open")).unwrap();
    let busy = pod_dir(ground.path(), &uid()).unwrap_err();
    assert!(matches!(&busy, TeardownError::Mount(e) if e.is_busy()), "{busy}");
    assert!(memory.join("open").exists());
    drop(open);
    pod_dir(ground.path(), &uid()).unwrap();
    assert!(!paths.dir().exists());
}

#[test]
fn real_a_mount_that_is_no_volume_keeps_the_directory() {
    let Some(ground) = Ground::new() else { return };
    let (paths, host) = (ground.paths(), ground.dir("host"));
    std::fs::write(host.join("precious"), "").unwrap();
    let strange = paths.dir().join("strange");
    std::fs::create_dir(&strange).unwrap();
    mount::bind(&host, &strange).unwrap();
    let error = pod_dir(ground.path(), &uid()).unwrap_err();
    assert!(matches!(&error, TeardownError::StillMounted { path } if *path == strange), "{error}");
    assert!(host.join("precious").exists() && strange.exists());
}

#[test]
fn real_hostile_content_goes_and_nothing_outside_does() {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let Some(ground) = Ground::new() else { return };
    let (paths, host) = (ground.paths(), ground.dir("host"));
    std::fs::write(host.join("precious"), "").unwrap();
    let disk = paths.volume(EMPTY_DIR, "d");
    std::fs::create_dir_all(&disk).unwrap();
    for name in ["new\nline", "back\\134slash", "spa ce\t", "..x", "*"] {
        let dir = disk.join(name);
        std::fs::create_dir(&dir).unwrap();
        symlink(&host, dir.join("dir")).unwrap();
        symlink(host.join("precious"), dir.join("file")).unwrap();
        symlink("loop", dir.join("loop")).unwrap();
        mknodat(CWD, dir.join("null"), FileType::CharacterDevice, Mode::RUSR, makedev(1, 3)).unwrap();
        mknodat(CWD, dir.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        drop(std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap());
        // What a container mounted came back to the node.
        let point = dir.join("mounted\non");
        std::fs::create_dir(&point).unwrap();
        mount::bind(&host, &point).unwrap();
    }
    pod_dir(ground.path(), &uid()).unwrap();
    assert!(!paths.dir().exists() && host.join("precious").exists());
}

#[test]
fn real_what_is_mounted_in_place_of_a_pods_directory_stays_whole() {
    let Some(ground) = Ground::new() else { return };
    let (paths, host) = (ground.paths(), ground.dir("host"));
    for part in ["", "plugins", "plugins/x"] {
        // It looks as a pod's directory does.
        for below in
            ["volumes/kubernetes.io~empty-dir/v", "plugins/kubernetes.io~empty-dir/v", "volume-subpaths"]
        {
            std::fs::create_dir_all(host.join(below)).unwrap();
            std::fs::write(host.join(below).join("precious"), "").unwrap();
        }
        let point = paths.dir().join(part);
        std::fs::create_dir_all(&point).unwrap();
        mount::bind(&host, &point).unwrap();
        for error in
            [volumes(ground.path(), &uid()).unwrap_err(), pod_dir(ground.path(), &uid()).unwrap_err()]
        {
            assert!(error.to_string().contains("is a mount point"), "{part}: {error}");
        }
        for below in
            ["volumes/kubernetes.io~empty-dir/v", "plugins/kubernetes.io~empty-dir/v", "volume-subpaths"]
        {
            assert!(host.join(below).join("precious").exists(), "{part}: {below}");
        }
        mount::unmount(&point).unwrap();
        pod_dir(ground.path(), &uid()).unwrap();
    }
}
