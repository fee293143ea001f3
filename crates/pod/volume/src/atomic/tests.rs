use std::os::unix::fs::{MetadataExt, PermissionsExt};

use proptest::prelude::*;

use super::*;

type Files = BTreeMap<String, Vec<u8>>;

fn payload(files: &Files) -> Payload {
    let mut payload = Payload::default();
    for (path, data) in files {
        payload.insert(path, ProjectedFile { data: data.clone(), mode: 0o640, uid: None }).unwrap();
    }
    payload
}

fn put(dir: &Path, files: &Files) -> Result<bool, PayloadError> {
    write(dir, &payload(files), Timestamp::UNIX_EPOCH, |_| Ok(()))
}

/// Everything that a user sees, through the links, by path.
fn visible(dir: &Path) -> Files {
    fn walk(dir: &Path, prefix: &str, found: &mut Files) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if name.starts_with("..") {
                continue;
            }
            if std::fs::metadata(entry.path()).unwrap().is_dir() {
                walk(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name, std::fs::read(entry.path()).unwrap());
            }
        }
    }
    let mut found = Files::new();
    walk(dir, "", &mut found);
    found
}

/// Names in `dir` that users do not see.
fn hidden(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("..") && name != DATA).collect()
}

fn files(entries: &[(&str, &str)]) -> Files {
    entries.iter().map(|(path, data)| ((*path).to_owned(), data.as_bytes().to_vec())).collect()
}

#[test]
fn paths() {
    for (path, cleaned) in
        [("a", Some("a")), ("./a//b/.", Some("a/b")), ("a/..b", Some("a/..b")), ("...", None)]
    {
        assert_eq!(clean(Path::new(path)).ok().as_deref(), cleaned.map(Path::new), "{path}");
    }
    let (long_name, long_path) = ("x".repeat(256), "x/".repeat(2049));
    for path in ["", ".", "/a", "a/../b", "..", "..a", "..a/b", "a\0b", &long_name, &long_path] {
        assert!(clean(Path::new(path)).is_err(), "{path}");
    }
    let mut payload = Payload::default();
    let file = ProjectedFile::new(&[], None);
    payload.insert("a/b", file.clone()).unwrap();
    assert!(payload.insert("a", file.clone()).is_err());
    assert!(payload.insert("a/b/c", file.clone()).is_err());
    payload.insert("a/bc", file).unwrap();
}

#[test]
fn layout_and_modes() {
    let dir = tempfile::tempdir().unwrap();
    assert!(put(dir.path(), &files(&[("top", "1"), ("sub/deep", "2")])).unwrap());
    assert_eq!(hidden(dir.path()), ["..1970_01_01_00_00_00.0"]);
    assert_eq!(std::fs::read_link(dir.path().join(DATA)).unwrap(), Path::new("..1970_01_01_00_00_00.0"));
    assert_eq!(std::fs::read_link(dir.path().join("top")).unwrap(), Path::new("..data/top"));
    assert_eq!(std::fs::read_link(dir.path().join("sub")).unwrap(), Path::new("..data/sub"));
    let mode = |path| std::fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("top"), mode("sub"), mode(DATA)), (0o640, 0o755, 0o755));
}

#[test]
fn the_same_bytes_are_not_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let content = files(&[("a", "1"), ("b/c", "2")]);
    put(dir.path(), &content).unwrap();
    let inode = std::fs::metadata(dir.path().join("a")).unwrap().ino();
    assert!(!put(dir.path(), &content).unwrap());
    assert_eq!(std::fs::metadata(dir.path().join("a")).unwrap().ino(), inode);
}

#[test]
fn what_is_not_ours_stays_and_what_a_crash_left_goes() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("nested")).unwrap();
    std::fs::create_dir(dir.path().join("..2020_01_01_00_00_00.1")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join(DATA_NEW)).unwrap();
    std::os::unix::fs::symlink("..missing", dir.path().join(DATA)).unwrap();
    put(dir.path(), &files(&[("a", "1")])).unwrap();
    assert!(dir.path().join("nested").is_dir());
    assert_eq!(hidden(dir.path()).len(), 1);
    assert_eq!(visible(dir.path()), files(&[("a", "1")]));
    // A crash after the swap and before the links: the bytes are the same, and the link is missing.
    std::fs::remove_file(dir.path().join("a")).unwrap();
    put(dir.path(), &files(&[("a", "1")])).unwrap();
    assert_eq!(visible(dir.path()), files(&[("a", "1")]));
}

#[test]
fn data_that_leads_elsewhere_is_not_followed() {
    let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(outside.path().join("a"), "theirs").unwrap();
    std::os::unix::fs::symlink(outside.path(), dir.path().join(DATA)).unwrap();
    put(dir.path(), &files(&[("a", "1")])).unwrap();
    assert_eq!(visible(dir.path()), files(&[("a", "1")]));
    assert_eq!(std::fs::read(outside.path().join("a")).unwrap(), b"theirs");
}

#[test]
fn a_failure_leaves_the_old_files() {
    let dir = tempfile::tempdir().unwrap();
    let old = files(&[("a", "1")]);
    put(dir.path(), &old).unwrap();
    let fails = |path: &Path| Err(linux::PathError::on("chown", path)(std::io::Error::other("no")));
    write(dir.path(), &payload(&files(&[("a", "2")])), Timestamp::UNIX_EPOCH, fails).unwrap_err();
    assert_eq!(visible(dir.path()), old);
    put(dir.path(), &files(&[("b", "3")])).unwrap();
    assert_eq!(visible(dir.path()), files(&[("b", "3")]));
    assert_eq!(hidden(dir.path()).len(), 1);
}

fn any_files() -> impl Strategy<Value = Files> {
    // Files `f…` and directories `d…`, so that no path is both.
    let path = proptest::collection::vec("d[0-2]", 0..3).prop_flat_map(|dirs| {
        "f[0-3 é]".prop_map(move |file| dirs.iter().chain([&file]).cloned().collect::<Vec<_>>().join("/"))
    });
    proptest::collection::btree_map(path, proptest::collection::vec(any::<u8>(), 0..6), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_sequence_leaves_exactly_the_last_one_visible(sequence in proptest::collection::vec(any_files(), 1..6)) {
        let dir = tempfile::tempdir().unwrap();
        let mut last: Option<Files> = None;
        for content in sequence {
            let written = put(dir.path(), &content).unwrap();
            prop_assert_eq!(written, last.as_ref() != Some(&content));
            prop_assert_eq!(&visible(dir.path()), &content);
            prop_assert_eq!(hidden(dir.path()).len(), 1);
            last = Some(content);
        }
    }
}
