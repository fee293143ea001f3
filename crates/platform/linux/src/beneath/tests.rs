use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn is_link(error: &BeneathError) -> bool {
    matches!(error, BeneathError::Link { .. })
}

#[test]
fn only_relative_paths_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    for path in ["", "/etc", "..", "a/../b", "a/.."] {
        let error = root.open_path(Path::new(path), Links::Beneath).unwrap_err();
        assert!(matches!(error, BeneathError::NotRelative { .. }), "{path}: {error}");
    }
}

#[test]
fn links_out_are_refused_by_both_ways_of_opening() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("root/real")).unwrap();
    std::fs::write(dir.path().join("secret"), "s").unwrap();
    std::fs::write(dir.path().join("root/real/file"), "content").unwrap();
    for (link, to) in [("up", "../secret"), ("abs", "/etc/passwd"), ("dir", "/etc"), ("in", "real/file")] {
        symlink(to, dir.path().join("root").join(link)).unwrap();
    }
    symlink("/proc/self/fd/0", dir.path().join("root/magic")).unwrap();
    let root = Root::open(&dir.path().join("root")).unwrap();

    for path in ["up", "abs", "dir/passwd", "magic"] {
        let path = Path::new(path);
        assert!(is_link(&root.open_path(path, Links::Beneath).unwrap_err()), "{path:?}");
        assert!(is_link(&root.open_path(path, Links::Refuse).unwrap_err()), "{path:?}");
        for (flags, links) in [
            (OFlags::PATH, Links::Refuse),
            (OFlags::PATH, Links::Beneath),
            (OFlags::RDONLY, Links::Refuse),
            (OFlags::RDONLY, Links::Beneath),
        ] {
            let error = root.open_by_segments(path, flags | OFlags::CLOEXEC, links).unwrap_err();
            assert!(is_link(&error), "{path:?} {flags:?} {links:?}: {error:?}");
        }
    }
    assert_eq!(root.read(Path::new("in"), Links::Beneath, 7).unwrap(), b"content");
    assert!(is_link(&root.read(Path::new("in"), Links::Refuse, 7).unwrap_err()));
}

#[test]
fn both_ways_of_opening_follow_the_same_links() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
    std::fs::write(dir.path().join("a/file"), "content").unwrap();
    for (link, to) in
        [("a/b/up", ".."), ("a/b/over", "../../a/./file"), ("in", "a/b/up/file"), ("loop", "loop")]
    {
        symlink(to, dir.path().join(link)).unwrap();
    }
    let root = Root::open(dir.path()).unwrap();
    let identity =
        |fd: Result<OwnedFd, BeneathError>| fd.ok().map(|fd| rustix::fs::fstat(fd).unwrap().st_ino);
    for path in
        ["a", "./a/b", "a/b/up", "a/b/over", "in", "loop", "a/file", "a/file/x", "missing", "a/b/up/b/up/b"]
    {
        let path = Path::new(path);
        for flags in [OFlags::PATH | OFlags::CLOEXEC, OFlags::RDONLY | OFlags::CLOEXEC, DIRECTORY] {
            for links in [Links::Beneath, Links::Refuse] {
                let by_kernel = identity(root.open_with(path, flags, links));
                let by_hand = identity(root.open_by_segments(path, flags, links));
                assert_eq!(by_kernel, by_hand, "{path:?} {flags:?} {links:?}");
            }
        }
    }
}

#[test]
fn reading_is_bounded_and_never_waits() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "12345").unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, dir.path().join("pipe"), Mode::RWXU).unwrap();
    let root = Root::open(dir.path()).unwrap();
    let too_large = root.read(Path::new("file"), Links::Refuse, 4).unwrap_err();
    assert!(matches!(too_large, BeneathError::TooLarge { limit: 4, .. }));
    assert!(root.read(Path::new("pipe"), Links::Refuse, 4).is_err());
    assert!(root.read(Path::new("missing"), Links::Refuse, 4).unwrap_err().is_not_found());
    assert!(root.stat(Path::new("missing/deeper")).unwrap().is_none());
}

#[test]
fn made_files_have_their_mode_and_follow_no_link() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    root.create_dir_all(Path::new("a/b"), 0o2777).unwrap();
    root.create_file(Path::new("a/b/f"), 0o666).unwrap();
    let mode = |path: &str| std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("a"), mode("a/b"), mode("a/b/f")), (0o2777, 0o2777, 0o666));

    symlink(outside.path(), dir.path().join("out")).unwrap();
    symlink(outside.path().join("new"), dir.path().join("dangling")).unwrap();
    assert!(is_link(&root.create_dir_all(Path::new("out/x"), 0o755).unwrap_err()));
    assert!(is_link(&root.create_file(Path::new("out/x"), 0o644).unwrap_err()));
    assert!(root.create_file(Path::new("dangling"), 0o644).is_err());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_tree_goes_without_following_its_links() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("kept"), "").unwrap();
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("a/b")).unwrap();
    symlink(outside.path(), tree.join("a/link")).unwrap();
    std::fs::write(tree.join(OsStr::new("odd \u{fffd}\n name")), "").unwrap();
    let root = Root::open(dir.path()).unwrap();
    root.remove_tree(Path::new("tree")).unwrap();
    assert!(!tree.exists());
    assert!(outside.path().join("kept").exists());
    root.remove_tree(Path::new("tree")).unwrap();
    root.remove_tree(Path::new("not/there")).unwrap();

    symlink(outside.path(), &tree).unwrap();
    root.remove_tree(Path::new("tree")).unwrap();
    assert!(outside.path().join("kept").exists(), "a tree that is a link: only the link goes");
}

#[test]
fn a_very_deep_tree_goes_too() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::open(dir.path()).unwrap();
    let mut at = root.create_dir_all(Path::new("tree"), 0o755).unwrap();
    for _ in 0..1500 {
        rustix::fs::mkdirat(&at, "a-name-that-makes-the-path-long", Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, "a-name-that-makes-the-path-long", DIRECTORY, Mode::empty()).unwrap();
    }
    root.remove_tree(Path::new("tree")).unwrap();
    assert!(root.stat(Path::new("tree")).unwrap().is_none());
}
