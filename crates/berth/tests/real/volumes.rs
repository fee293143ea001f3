//! Volumes that need no API server, as containers see them.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use testkit::containerd::Version;
use testkit::pod::pod;

use crate::machine::first_process;
use crate::rig::{FOREVER, Rig, container, id, uid};

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
    let first = first_process(&id(&before, "main"));
    kill_process(Pid::from_raw(first.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
    let after = rig
        .until("disks", "restarted", |pod| {
            container(pod, "main")["restartCount"] == 1 && container(pod, "main")["ready"] == true
        })
        .await;
    assert_eq!(container(&after, "main")["lastState"]["terminated"]["exitCode"], 137);
    assert_eq!(rig.sh(&after, "main", "cat /memory/kept /part/p").await, "kept\npart\n");

    let why = rig.until_why("absent", |why| why["failures"][0]["reason"] == "FailedMount").await;
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

/// A file system whose server never answers, as a dead NFS server does not: a FUSE mount that nobody serves. Who looks
/// into it hangs until this is dropped.
struct Stuck {
    path: PathBuf,
    server: Option<File>,
}

impl Stuck {
    /// At `path`, which is made; `None` where the machine has no FUSE.
    fn mount(path: &Path) -> Option<Self> {
        let server = File::options().read(true).write(true).open("/dev/fuse").ok()?;
        fs::create_dir(path).unwrap();
        let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
        let data = CString::new(data).unwrap();
        mount("stuck", path, "fuse", MountFlags::empty(), Some(data.as_c_str())).ok()?;
        Some(Self { path: path.to_owned(), server: Some(server) })
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        // Ends what hangs.
        drop(self.server.take());
        unmount(&self.path, UnmountFlags::DETACH).unwrap();
    }
}

#[tokio::test]
async fn real_a_volume_that_hangs_holds_up_its_pod_alone() {
    let mut rig = Rig::start().await;
    let path = rig.dir().join("stuck");
    let Some(stuck) = Stuck::mount(&path) else {
        println!("skipped a volume that hangs: this machine mounts no FUSE");
        return rig.finish().await;
    };
    let inside = path.join("dir");
    let volume = json!({"name": "v", "hostPath": {"path": inside, "type": "Directory"}});
    let needy = |name| {
        pod(name)
            .container("main", &FOREVER)
            .with_spec(&json!({"volumes": [volume]}))
            .with_container("main", &json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}))
    };
    rig.put("needy", &needy("needy"));
    rig.put("given-up", &needy("given-up"));
    // More volumes than there may be calls under way about the node.
    let names: Vec<_> = (0..80).map(|index| format!("v{index}")).collect();
    let volumes =
        names.iter().map(|name| json!({"name": name, "hostPath": {"path": inside, "type": "Directory"}}));
    let mounts = names.iter().map(|name| json!({"name": name, "mountPath": format!("/{name}")}));
    let greedy = pod("greedy")
        .container("main", &FOREVER)
        .with_spec(&json!({"volumes": volumes.collect::<Vec<_>>()}))
        .with_container("main", &json!({"volumeMounts": mounts.collect::<Vec<_>>()}));
    rig.put("greedy", &greedy);
    for name in ["needy", "given-up", "greedy"] {
        rig.until(name, "seen", |pod| !pod.is_null()).await;
        let why = rig.until_why(name, |why| why["step"] == "Volumes").await;
        assert!(why["waitingFor"].to_string().contains("volume"), "{why:#}");
    }
    let other = pod("other")
        .container("main", &FOREVER)
        .with_spec(&json!({"volumes": [{"name": "v", "emptyDir": {}}]}))
        .with_container("main", &json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}));
    rig.put("other", &other);
    let other = rig.until_ready("other").await;
    rig.remove("other");
    rig.until_gone("other", &uid(&other)).await;

    // One that hangs can be given up, also by a berth that was killed.
    let given_up = rig.pod("given-up").await;
    rig.node.kill().await.unwrap();
    rig.node.start().unwrap();
    rig.until_why("given-up", |why| why["step"] == "Volumes").await;
    rig.remove("given-up");
    rig.until_gone("given-up", &uid(&given_up)).await;

    // The server comes back.
    drop(stuck);
    fs::create_dir(&inside).unwrap();
    for name in ["needy", "greedy"] {
        rig.until_ready(name).await;
    }
    rig.finish().await;
}
