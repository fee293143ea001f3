//! NFS, with the kernel's server.

use std::fs;
use std::future::poll_fn;
use std::process::{Command as Process, Stdio};
use std::task::Poll;
use std::time::Duration;

use intree::Wanted;
use lab::targets::NfsServer;
use serde_json::json;

use crate::world::{CANARY, World, canary, claimed, options, turn};

#[tokio::test]
async fn real_nfs_of_a_server() {
    let Some(turn) = turn() else { return };
    let mut world = World::new();
    let export = world.directory("export");
    let server = NfsServer::start(&turn, &export).await.unwrap();
    let nfs = |pod: &str, read_only: bool, asked: &[&str]| -> Wanted {
        let spec = json!({
            "nfs": {"server": server.address(), "path": export}, "mountOptions": asked,
        });
        claimed(pod, "share", spec, read_only, None)
    };

    // One writes, one may only read; berth is killed between them.
    let path = world.prepare(&nfs("a", false, &["nfsvers=4.2", "hard", "noexec"])).await.unwrap();
    assert_eq!(canary(&path), "export");
    fs::write(path.join("of-a"), "written").unwrap();
    assert_eq!(fs::read_to_string(export.join("of-a")).unwrap(), "written");
    let has = options(&path);
    assert!(has.contains("noexec") && has.contains("vers=4.2") && has.contains("hard"), "{has}");
    world.restart();
    let wanted = nfs("b", true, &[]);
    let other = world.prepare(&wanted).await.unwrap();
    world.prepare(&nfs("a", false, &["nfsvers=4.2", "hard", "noexec"])).await.unwrap();
    assert_eq!(world.mounts().len(), 2);
    assert_eq!(fs::read_to_string(other.join("of-a")).unwrap(), "written");
    let refused = fs::write(other.join("of-b"), "").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    fs::write(path.join("of-a"), "again").unwrap();

    // What is in use stays.
    let open = fs::File::open(path.join(CANARY)).unwrap();
    let error = world.take_down("a").await.unwrap_err();
    assert!(error.to_string().contains("busy"), "{error}");
    drop(open);
    world.take_down("a").await.unwrap();
    assert_eq!(canary(&other), "export");

    // An export that is not there.
    let missing = claimed(
        "c",
        "missing",
        json!({"nfs": {"server": server.address(), "path": "/var/empty/missing"}}),
        false,
        None,
    );
    let error = world.prepare(&missing).await.unwrap_err();
    let text = telemetry::chain(&error);
    assert!(text.contains("mount.nfs") && text.contains("exit status 32"), "{text}");
    world.take_down("c").await.unwrap();
    assert_eq!(world.mounts().len(), 1);

    // The server is away. One that writes waits, and what it has written is there once the server is back.
    let path = world.prepare(&nfs("a", false, &["hard", "timeo=10"])).await.unwrap();
    world.prepare(&nfs("e", false, &["hard", "timeo=10"])).await.unwrap();
    server.fall_silent().unwrap();
    // Another process: what is open for writing is flushed as the programs that this one starts begin.
    let mut writing = Process::new("sh");
    writing
        .args(["-c", "printf late > \"$0\""])
        .arg(path.join("late"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut writing = writing.spawn().unwrap();
    // One that shares the file system goes without disturbing it.
    world.restart_impatient(Duration::from_secs(12));
    world.take_down("e").await.unwrap();
    assert!(writing.try_wait().unwrap().is_none());
    // A pod with the server's file system alone hangs as it goes, and none of another.
    let directory = world.directory("local");
    let local = claimed("d", "local", json!({"local": {"path": directory}}), false, None);
    let mut hanging = std::pin::pin!(world.take_down("b"));
    let is_pending = poll_fn(|context| Poll::Ready(hanging.as_mut().poll(context).is_pending())).await;
    assert!(is_pending);
    let here = world.prepare(&local).await.unwrap();
    assert_eq!(canary(&here), "local");
    world.take_down("d").await.unwrap();
    hanging.await.unwrap();
    server.answer().unwrap();
    let written = tokio::task::spawn_blocking(move || writing.wait()).await.unwrap().unwrap();
    assert!(written.success());
    assert_eq!(fs::read_to_string(export.join("late")).unwrap(), "late");
    world.take_down("a").await.unwrap();
    world.assert_nothing_left();
    assert_eq!((canary(&export), canary(&directory)), ("export".into(), "local".into()));
}
