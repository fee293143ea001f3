//! Manifests that are none: each is named, with file, line and reason, and disturbs nothing.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};
use testkit::pod::pod;

use crate::rig::{Rig, container, is_ready};

/// A pod that runs, and has to run on as if nothing were the matter.
async fn with_good_pod() -> Rig {
    let rig = Rig::start().await;
    rig.put(&pod("good"));
    rig.until_ready("good").await;
    rig.runtime.clear_journal();
    rig
}

async fn good_pod_is_undisturbed(rig: &Rig) {
    assert!(is_ready(&rig.pod("good").await));
    assert_eq!(rig.journal("good"), [""; 0]);
    assert_eq!(rig.ask("/healthz").await.as_deref(), Some("ok"));
    // What comes after it is read as well.
    rig.put(&pod("zz-later"));
    rig.until_ready("zz-later").await;
    rig.assert_proper();
}

/// The problem of the file `name`, once it is told.
async fn problem(rig: &Rig, name: &str) -> Value {
    let of = |all: &Value| {
        let all = all.as_array().map_or(&[][..], Vec::as_slice);
        all.iter().find(|p| p["origin"].as_str().is_some_and(|path| path.ends_with(name))).cloned()
    };
    of(&rig.until_problems(name, |all| of(all).is_some()).await).unwrap()
}

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: NAME\nspec:\n  containers:\n  - name: main\n    image: registry.example/app:1\n";

#[tokio::test]
async fn text_that_is_no_pod() {
    let rig = with_good_pod().await;
    let of = |name: &str| POD.replace("NAME", name);
    let invalid_utf8 = [of("utf8").as_bytes(), b"# \xff\xfe\n"].concat();
    for (file, content, line, reason) in [
        ("malformed.yaml", b"apiVersion: v1\nkind: Pod\nspec: [\n".to_vec(), true, "Malformed"),
        ("truncated.json", b"{\"apiVersion\": \"v1\",\n \"kind\": \"Pod\",".to_vec(), true, "Malformed"),
        (
            "wrong-type.yaml",
            of("wrong").replace("image: r", "image: [r").replace("app:1", "app:1]").into(),
            true,
            "Malformed",
        ),
        (
            "impossible.yaml",
            of("port").replace("    image", "    ports: [{containerPort: 70000}]\n    image").into(),
            true,
            "FailedValidation",
        ),
        ("name.yaml", of("Not_A_Name").into(), true, "FailedValidation"),
        (
            "reference.yaml",
            of("ref").replace("spec:\n", "spec:\n  serviceAccountName: robot\n").into(),
            true,
            "APIReference",
        ),
        ("job.yaml", of("job").replace("kind: Pod", "kind: Job").into(), true, "UnsupportedKind"),
        ("empty.yaml", Vec::new(), false, "Empty"),
        ("utf8.yaml", invalid_utf8, false, "Malformed"),
        ("binary.yaml", (0..=255).collect(), false, "Malformed"),
    ] {
        rig.put_file(file, content);
        let problem = problem(&rig, file).await;
        assert_eq!((&problem["reason"], &problem["warning"]), (&json!(reason), &json!(false)), "{problem}");
        assert!(problem["line"].is_u64() || !line, "{problem}");
        assert!(problem["message"].as_str().is_some_and(|message| message.len() > 10), "{problem}");
    }
    good_pod_is_undisturbed(&rig).await;
}

#[tokio::test]
async fn an_unknown_field_is_a_warning_and_its_pod_runs() {
    let rig = with_good_pod().await;
    rig.put_file(
        "typo.yaml",
        POD.replace("NAME", "typo").replace("    image", "    imagePullPolcy: Never\n    image"),
    );
    let problem = problem(&rig, "typo.yaml").await;
    let seen = (&problem["reason"], &problem["warning"], &problem["line"]);
    assert_eq!(seen, (&json!("UnknownField"), &json!(true), &json!(8)), "{problem}");
    assert!(problem["message"].as_str().unwrap().contains("imagePullPolicy"), "{problem}");
    rig.until_ready("typo").await;
    good_pod_is_undisturbed(&rig).await;
}

#[tokio::test]
async fn files_that_are_none() {
    let rig = with_good_pod().await;
    let dir = rig.manifests();
    // Not seen before it has its size.
    File::create(dir.join(".huge")).unwrap().set_len(50 << 20).unwrap();
    fs::rename(dir.join(".huge"), dir.join("huge.yaml")).unwrap();
    fs::create_dir(dir.join("dir.yaml")).unwrap();
    symlink("loop.yaml", dir.join("loop.yaml")).unwrap();
    symlink("nowhere.yaml", dir.join("dangling.yaml")).unwrap();
    mknodat(CWD, dir.join("pipe.yaml"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    symlink("/dev/zero", dir.join("device.yaml")).unwrap();
    for (file, reason) in [
        ("huge.yaml", "TooLarge"),
        ("dir.yaml", "NotRegularFile"),
        ("loop.yaml", "Unreadable"),
        ("dangling.yaml", "Unreadable"),
        ("pipe.yaml", "NotRegularFile"),
        ("device.yaml", "NotRegularFile"),
    ] {
        let problem = problem(&rig, file).await;
        assert_eq!(problem["reason"], reason, "{problem}");
    }
    good_pod_is_undisturbed(&rig).await;
}

#[tokio::test]
async fn a_problem_goes_with_its_cause() {
    let rig = with_good_pod().await;
    rig.put_file("web.yaml", "kind: [");
    problem(&rig, "web.yaml").await;
    rig.put_file("web.yaml", POD.replace("NAME", "web"));
    rig.until_ready("web").await;
    rig.until_problems("none", |all| all == &json!([])).await;
    // A pod that runs is not stopped because its manifest is broken for a while.
    rig.put_file("web.yaml", "kind: [");
    problem(&rig, "web.yaml").await;
    rig.put_file("web.yaml", POD.replace("NAME", "web"));
    rig.until_problems("none", |all| all == &json!([])).await;
    rig.until_ready("web").await;
    assert_eq!(rig.runtime.starts("web-node", "main"), 1);
    good_pod_is_undisturbed(&rig).await;
}

#[tokio::test]
async fn a_manifest_that_is_broken_at_the_start_stops_no_pod() {
    let mut rig = with_good_pod().await;
    rig.put_file("web.yaml", POD.replace("NAME", "web"));
    rig.put(&pod("goes"));
    rig.until_ready("web").await;
    rig.until_ready("goes").await;
    rig.kill();
    rig.put_file("web.yaml", "kind: [");
    rig.remove("goes");
    rig.launch();
    // Whose manifest it was nobody knows, so that no static pod is an orphan.
    let all = rig.until_problems("web", |all| all[0]["reason"] == "Malformed").await;
    assert!(all[0]["message"].as_str().unwrap().contains("is left alone"), "{all}");
    rig.until_ready("good").await;
    good_pod_is_undisturbed(&rig).await;
    for name in ["web-node", "goes-node"] {
        assert!(rig.runtime.read(|store| store.is_running(name, "main")), "{name}");
    }
    // Once it can be read, the pod is known again, and what has no manifest is stopped.
    rig.put_file("web.yaml", POD.replace("NAME", "web"));
    rig.until_ready("web").await;
    rig.until_gone("goes").await;
    assert_eq!(rig.runtime.starts("web-node", "main"), 1);
    rig.assert_proper();
}

#[tokio::test]
async fn manifests_that_come_and_go_while_they_are_read() {
    let rig = with_good_pod().await;
    for round in 0..200 {
        let path = rig.manifests().join(format!("flicker-{}.yaml", round % 7));
        fs::write(&path, POD.replace("NAME", "flicker")).unwrap();
        // Let the watcher have its turn, or not.
        tokio::task::yield_now().await;
        fs::remove_file(path).unwrap();
    }
    rig.until_gone("flicker").await;
    rig.until_problems("none", |all| all == &json!([])).await;
    good_pod_is_undisturbed(&rig).await;
}

#[tokio::test]
async fn a_file_name_that_is_not_utf8() {
    let rig = with_good_pod().await;
    let bad = rig.manifests().join(OsStr::from_bytes(b"bad-\xff.yaml"));
    fs::write(rig.manifests().join(OsStr::from_bytes(b"odd-\xff.yaml")), POD.replace("NAME", "odd")).unwrap();
    fs::write(bad, "kind: [").unwrap();
    rig.until_ready("odd").await;
    let all = rig.until_problems("the bad one", |all| all[0]["reason"] == "Malformed").await;
    assert!(all[0]["origin"].as_str().unwrap().contains("bad-"), "{all}");
    good_pod_is_undisturbed(&rig).await;
}

#[tokio::test]
async fn a_pod_that_asks_for_more_than_there_is() {
    let rig = with_good_pod().await;
    let greedy = json!({"resources": {"requests": {"cpu": "100000"}}});
    rig.put(&pod("greedy").container("main", &["run"]).with_container("main", &greedy));
    let refused = rig.until_phase("greedy", "Failed").await;
    assert_eq!(refused["status"]["reason"], "OutOfcpu");
    assert!(refused["status"]["message"].as_str().unwrap().contains("cpu"), "{refused}");
    assert!(container(&refused, "main")["containerID"].is_null());
    let why = rig.until_why("greedy", "the refusal", |why| why["failures"][0]["reason"] == "OutOfcpu").await;
    assert!(why["advice"].as_str().unwrap().contains("does not fit"), "{why}");
    assert_eq!(rig.journal("greedy"), [""; 0]);
    rig.remove("greedy");
    rig.until_gone("greedy").await;
    good_pod_is_undisturbed(&rig).await;
}
