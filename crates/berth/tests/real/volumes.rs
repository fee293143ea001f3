//! Volumes that need no API server, as containers see them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use testkit::containerd::Version;
use testkit::pod::pod;

use crate::machine::processes;
use crate::rig::{FOREVER, Rig, container, id};

#[tokio::test]
async fn real_volumes_hold_what_containers_put_there() {
    let mut rig = Rig::start().await;
    let host = rig.dir().join("host");
    fs::create_dir(&host).unwrap();
    fs::write(host.join("file"), "from the host").unwrap();
    let host = host.to_str().unwrap();
    let path = |name: &str, file: &str, kind: &str| json!({"name": name, "hostPath": {"path": format!("{host}{file}"), "type": kind}});
    let spec = json!({"securityContext": {"fsGroup": 2000}, "volumes": [
        {"name": "disk", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "2Mi"}},
        path("dir", "", "Directory"), path("file", "/file", "File"),
        path("made", "/made/dir", "DirectoryOrCreate"), path("touched", "/touched", "FileOrCreate"),
    ]});
    let mounts = json!({
        "env": [{"name": "WHO", "value": "me"}],
        "volumeMounts": [
            {"name": "disk", "mountPath": "/disk"}, {"name": "memory", "mountPath": "/memory"},
            {"name": "disk", "mountPath": "/part", "subPath": "a/b"},
            {"name": "disk", "mountPath": "/mine", "subPathExpr": "of-$(WHO)"},
            {"name": "dir", "mountPath": "/host", "readOnly": true}, {"name": "file", "mountPath": "/one-file"},
            {"name": "made", "mountPath": "/made"}, {"name": "touched", "mountPath": "/touched"},
        ],
    });
    rig.put(
        "disks",
        &pod("disks").container("main", &FOREVER).with_container("main", &mounts).with_spec(&spec),
    );
    let absent = json!({"volumes": [path("absent", "/absent", "Directory")]});
    let absent = pod("absent")
        .container("main", &FOREVER)
        .with_spec(&absent)
        .with_container("main", &json!({"volumeMounts": [{"name": "absent", "mountPath": "/absent"}]}));
    rig.put("absent", &absent);

    let before = rig.until_ready("disks").await;
    assert_eq!(rig.sh(&before, "main", "stat -c '%a %g' /disk").await, "2777 2000\n");
    let memory = rig.sh(&before, "main", "df -k /memory | tail -n 1").await;
    assert!(memory.starts_with("tmpfs") && memory.split_whitespace().any(|word| word == "2048"), "{memory}");
    assert_eq!(rig.sh(&before, "main", "cat /one-file /host/file").await, "from the hostfrom the host");
    assert_ne!(
        rig.run(&before, "main", "touch /host/no").await.exit_code,
        0,
        "a read-only mount is written to"
    );
    rig.sh(
        &before,
        "main",
        "echo part > /part/p; echo mine > /mine/m; echo made > /made/f; echo t > /touched",
    )
    .await;
    assert_eq!(rig.sh(&before, "main", "cat /disk/a/b/p /disk/of-me/m").await, "part\nmine\n");
    assert_eq!(fs::read_to_string(format!("{host}/made/dir/f")).unwrap(), "made\n");
    assert_eq!(fs::read_to_string(format!("{host}/touched")).unwrap(), "t\n");
    // The group of the pod is not forced on what the host has.
    assert_eq!(fs::metadata(host).unwrap().gid(), 0);

    rig.sh(&before, "main", "echo kept > /memory/kept").await;
    let first = processes(&id(&before, "main"))[0];
    kill_process(Pid::from_raw(first.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    let after = rig
        .until("disks", "restarted", |pod| {
            container(pod, "main")["restartCount"] == 1 && container(pod, "main")["ready"] == true
        })
        .await;
    assert_eq!(container(&after, "main")["lastState"]["terminated"]["exitCode"], 137);
    assert_eq!(rig.sh(&after, "main", "cat /memory/kept /part/p").await, "kept\npart\n");

    let why = rig.get("/why?pod=absent").await;
    assert_eq!(why[0]["failures"][0]["reason"], "FailedMount", "{why:#}");
    assert!(why.to_string().contains("where the type Directory wants something"), "{why:#}");
    rig.finish().await;
}

#[tokio::test]
async fn real_images_and_read_only_trees_are_mounted_where_the_runtime_can() {
    if Version::installed().unwrap().major < 2 {
        println!("skipped image volumes and recursive read-only mounts: containerd 1.x has none");
        return;
    }
    let mut rig = Rig::start().await;
    let tree = rig.dir().join("tree");
    let below = tree.join("below");
    fs::create_dir_all(&below).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "below"]).arg(&below).status().unwrap();
    assert!(mounted.success());
    let spec = json!({"volumes": [
        {"name": "tools", "image": {"reference": testkit::containerd::BUSYBOX, "pullPolicy": "IfNotPresent"}},
        {"name": "tree", "hostPath": {"path": tree}},
    ]});
    let mounts = json!({"volumeMounts": [
        {"name": "tools", "mountPath": "/tools"},
        {"name": "tree", "mountPath": "/flat", "readOnly": true},
        {"name": "tree", "mountPath": "/deep", "readOnly": true, "recursiveReadOnly": "Enabled"},
    ]});
    rig.put(
        "mounts",
        &pod("mounts").container("main", &FOREVER).with_container("main", &mounts).with_spec(&spec),
    );
    let pod = rig.until_ready("mounts").await;
    assert_eq!(rig.sh(&pod, "main", "/tools/bin/busybox echo from the volume").await, "from the volume\n");
    assert_ne!(rig.run(&pod, "main", "touch /tools/no").await.exit_code, 0, "an image volume is written to");
    assert_ne!(rig.run(&pod, "main", "touch /flat/no").await.exit_code, 0, "a read-only mount is written to");
    rig.sh(&pod, "main", "touch /flat/below/yes").await;
    assert_ne!(
        rig.run(&pod, "main", "touch /deep/below/no").await.exit_code,
        0,
        "a read-only tree is written to"
    );
    let reported = &container(&pod, "main")["volumeMounts"];
    let mut reported = reported.as_array().into_iter().flatten();
    assert!(
        reported.any(|mount| mount["mountPath"] == "/deep" && mount["recursiveReadOnly"] == "Enabled"),
        "{pod:#}"
    );
    rig.finish().await;
}
