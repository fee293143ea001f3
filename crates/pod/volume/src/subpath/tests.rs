use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::testing::Ground;

fn part(volume_path: &Path, path: &str) -> SubPath {
    SubPath {
        volume: "v".into(),
        volume_path: volume_path.to_owned(),
        container: "c".into(),
        index: 0,
        path: path.into(),
    }
}

fn refused_for_a_link(result: Result<PathBuf, SubPathProblem>) -> bool {
    matches!(result, Err(SubPathProblem::Beneath(BeneathError::Link { .. })))
}

#[test]
fn real_directories_and_files_are_bound_and_kept() {
    let Some(ground) = Ground::new() else { return };
    let (paths, volume) = (ground.paths(), ground.dir("volume"));
    std::fs::create_dir(volume.join("sub")).unwrap();
    std::fs::write(volume.join("sub/file"), "content").unwrap();
    let point = mount(&paths, &part(&volume, "sub")).unwrap();
    assert_eq!(point, paths.dir().join("volume-subpaths/v/c/0"));
    assert_eq!(std::fs::read(point.join("file")).unwrap(), b"content");
    mount(&paths, &part(&volume, "./sub/")).unwrap();
    assert_eq!(Ground::mounts(&point).len(), 1, "kept, not mounted again");

    // Something else at the same place: a file instead of a directory, then another file of the same name.
    mount(&paths, &part(&volume, "sub/file")).unwrap();
    assert_eq!(std::fs::read(&point).unwrap(), b"content");
    std::fs::write(volume.join("sub/new"), "new").unwrap();
    std::fs::rename(volume.join("sub/new"), volume.join("sub/file")).unwrap();
    mount(&paths, &part(&volume, "sub/file")).unwrap();
    assert_eq!(std::fs::read(&point).unwrap(), b"new");
    assert_eq!(Ground::mounts(&point).len(), 1);
}

#[test]
fn real_missing_directories_get_the_mode_of_the_volume() {
    let Some(ground) = Ground::new() else { return };
    let (paths, volume) = (ground.paths(), ground.dir("volume"));
    std::fs::create_dir(volume.join("v1")).unwrap();
    symlink("v1", volume.join("current")).unwrap();
    linux::fs::chown(&volume, None, Some(77)).unwrap();
    linux::fs::chmod(&volume, 0o2775).unwrap();
    mount(&paths, &part(&volume, "current/a/b")).unwrap();
    let meta = std::fs::metadata(volume.join("v1/a/b")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o2775);
    let top = SubPath { index: 1, ..part(&volume, "top/x") };
    mount(&paths, &top).unwrap();
    assert_eq!(std::fs::metadata(volume.join("top/x")).unwrap().gid(), 77);
}

#[test]
fn real_links_inside_the_volume_are_followed_and_others_are_not() {
    let Some(ground) = Ground::new() else { return };
    let (paths, volume, outside) = (ground.paths(), ground.dir("volume"), ground.dir("outside"));
    // As the atomic writer lays files out.
    std::fs::create_dir(volume.join("..1")).unwrap();
    std::fs::write(volume.join("..1/key"), "value").unwrap();
    symlink("..1", volume.join("..data")).unwrap();
    symlink("..data/key", volume.join("key")).unwrap();
    let point = mount(&paths, &part(&volume, "key")).unwrap();
    assert_eq!(std::fs::read(point).unwrap(), b"value");

    symlink(&outside, volume.join("abs")).unwrap();
    symlink("../outside", volume.join("up")).unwrap();
    symlink("../outside/new", volume.join("dangling")).unwrap();
    symlink("/proc/self/root", volume.join("magic")).unwrap();
    for path in ["abs", "abs/new", "up", "up/new", "dangling", "dangling/deeper", "magic/etc"] {
        let part = SubPath { index: 9, ..part(&volume, path) };
        assert!(refused_for_a_link(mount(&paths, &part)), "{path}");
    }
    for path in ["../outside", "/etc", "a/../../outside", ""] {
        let result = mount(&paths, &SubPath { index: 9, ..part(&volume, path) });
        assert!(matches!(result, Err(SubPathProblem::Beneath(BeneathError::NotRelative { .. }))), "{path}");
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert!(Ground::mounts(&paths.subpath("v", "c", 9)).is_empty());
}

#[test]
fn real_a_container_that_swaps_directories_for_links_gets_nowhere() {
    let Some(ground) = Ground::new() else { return };
    let (paths, volume, outside) = (ground.paths(), ground.dir("volume"), ground.dir("outside"));
    std::fs::write(outside.join("secret"), "s").unwrap();
    std::fs::create_dir_all(volume.join("a/b")).unwrap();
    symlink(&outside, volume.join("evil")).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            // Exchanges the two names again and again.
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                let dir = rustix::fs::CWD;
                rustix::fs::renameat_with(dir, volume.join("a"), dir, volume.join("evil"), flags).unwrap();
            }
        });
        for index in 0..200 {
            let part = SubPath { index, ..part(&volume, "a/b") };
            if let Ok(point) = mount(&paths, &part) {
                assert!(!point.join("secret").exists());
                mount::unmount(&point).unwrap();
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(!outside.join("b").exists());
}

#[test]
fn real_the_place_of_the_mount_may_not_be_a_link() {
    let Some(ground) = Ground::new() else { return };
    let (paths, volume, outside) = (ground.paths(), ground.dir("volume"), ground.dir("outside"));
    std::fs::create_dir_all(paths.subpaths().join("v")).unwrap();
    symlink(&outside, paths.subpaths().join("v/c")).unwrap();
    assert!(refused_for_a_link(mount(&paths, &part(&volume, "x"))));
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
}
