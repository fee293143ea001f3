use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn web(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: a, image: 'b:1'}}]}}\n"
    )
}

fn names(reading: &Reading) -> Vec<&str> {
    reading.found.iter().flatten().map(|found| found.pod.metadata.name.as_deref().unwrap()).collect()
}

fn problems(reading: &Reading) -> Vec<(String, Reason)> {
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    reading.problems.iter().map(|problem| (name(&problem.path), problem.reason)).collect()
}

fn folder(dir: &Path) -> Folder {
    Folder::new(dir.to_owned(), "n".to_owned(), Rules::default())
}

#[test]
fn one_bad_file_never_stops_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("a.yaml"), web("a")).unwrap();
    fs::write(
        at("b.json"),
        serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"},
        "spec": {"containers": [{"name": "a", "image": "b:1"}]}})
        .to_string(),
    )
    .unwrap();
    fs::write(at(".hidden"), "bad: [").unwrap();
    fs::write(at("c-broken"), "bad: [").unwrap();
    fs::create_dir(at("d-dir.yaml")).unwrap();
    fs::write(at("e-empty"), "").unwrap();
    symlink("f-loop", at("f-loop")).unwrap();
    symlink("nowhere", at("g-dangling")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, at("h-pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("i-socket")).unwrap();
    fs::File::create(at("j-huge")).unwrap().set_len(50 << 20).unwrap();
    fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"k-\xff.yaml")), "x: 1").unwrap();
    symlink("/dev/zero", at("l-device")).unwrap();
    fs::write(at("z.yaml"), web("z")).unwrap();

    let reading = folder(dir.path()).scan(&Dirty::All);
    assert_eq!(names(&reading), ["a-n", "b-n", "z-n"]);
    let expected = [
        ("c-broken", Reason::Malformed),
        ("d-dir.yaml", Reason::NotRegularFile),
        ("e-empty", Reason::Empty),
        ("f-loop", Reason::Unreadable),
        ("g-dangling", Reason::Unreadable),
        ("h-pipe", Reason::NotRegularFile),
        ("i-socket", Reason::NotRegularFile),
        ("j-huge", Reason::TooLarge),
        ("k-\u{fffd}.yaml", Reason::UnsupportedKind),
        ("l-device", Reason::NotRegularFile),
    ];
    assert_eq!(problems(&reading), expected.map(|(name, reason)| (name.to_owned(), reason)));
}

#[test]
fn a_file_that_turns_bad_keeps_its_pod() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    let mut folder = folder(dir.path());
    fs::write(&path, web("a")).unwrap();
    assert_eq!(names(&folder.scan(&Dirty::All)), ["a-n"]);
    fs::write(&path, "bad: [").unwrap();
    let reading = folder.scan(&Dirty::All);
    assert_eq!(names(&reading), ["a-n"]);
    assert!(reading.problems[0].message.ends_with("(the pod keeps running as the file said before)"));
    fs::write(&path, web("b")).unwrap();
    let reading = folder.scan(&Dirty::All);
    assert_eq!((names(&reading), problems(&reading)), (vec!["b-n"], vec![]));
    fs::remove_file(&path).unwrap();
    assert!(names(&folder.scan(&Dirty::All)).is_empty());
}

#[test]
fn the_path_may_be_a_file_or_missing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    let mut folder = folder(&path);
    let reading = folder.scan(&Dirty::All);
    assert!(names(&reading).is_empty() && reading.problems.is_empty());
    fs::write(&path, web("a")).unwrap();
    assert_eq!(names(&folder.scan(&Dirty::Names(BTreeSet::new()))), ["a-n"]);
}

#[test]
fn files_that_look_the_same_are_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    fs::write(&path, web("a")).unwrap();
    let mut folder = folder(dir.path());
    folder.scan(&Dirty::All);
    folder.files.get_mut(&path).unwrap().pods[0].metadata.name = Some("from-before".to_owned());
    assert_eq!(names(&folder.scan(&Dirty::Names(BTreeSet::new()))), ["from-before"]);
    assert_eq!(names(&folder.scan(&Dirty::Names(BTreeSet::from(["a.yaml".into()])))), ["a-n"]);
}
