//! With real mounts. As root, and below a temporary directory.

use super::*;

/// Waits until a program has written into the fifo.
pub(super) async fn told(fifo: &Path) {
    use tokio::io::AsyncReadExt as _;
    let opened = tokio::net::unix::pipe::OpenOptions::new().read_write(true).open_receiver(fifo);
    timeout(LONG, opened.unwrap().read_u8()).await.unwrap().unwrap();
}

pub(super) fn fifo(world: &World, name: &str) -> PathBuf {
    let path = world.root.join(name);
    assert!(Process::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

#[tokio::test]
async fn real_a_local_directory_for_two_pods() {
    let mut world = World::new();
    let source = world.directory("source");
    let path = world.volumes.prepare(&world.local("a", &source)).await.unwrap();
    assert_eq!(path, world.root.join("root/pods/a/volumes/kubernetes.io~local-volume/pv"));
    assert_eq!(canary(&path), "source");
    let read_only = Wanted {
        read_only: true,
        mount_options: vec!["noexec".into(), "discard".into()],
        ..world.local("b", &source)
    };
    let other = world.volumes.prepare(&read_only).await.unwrap();
    let options = mount_options(&other);
    assert!(options.starts_with("ro,") && options.contains("noexec"), "{options}");
    assert!(mount_options(&path).starts_with("rw,"));
    world.volumes.prepare(&world.local("a", &source)).await.unwrap();
    assert_eq!(mounts_below(&world.root).len(), 2);

    world.restart();
    let shown = world.volumes.shown(&"a".into(), "the-pv").await.unwrap();
    assert_eq!((shown.path, shown.target.plugin), (path, Plugin::Local));
    assert_eq!(world.volumes.shown(&"a".into(), "another").await, None);
    assert_eq!(world.volumes.shown(&"c".into(), "the-pv").await, None);
    // The directory may be away by now: what is mounted stays.
    fs::rename(&source, world.root.join("moved")).unwrap();
    world.volumes.prepare(&world.local("a", &source)).await.unwrap();
    fs::rename(world.root.join("moved"), &source).unwrap();
    assert_eq!(world.volumes.reclaim().await.unwrap().len(), 0);
    world.take_down("a").await.unwrap();
    assert_eq!(canary(&other), "source");
    world.take_down("b").await.unwrap();
    world.take_down("b").await.unwrap();
    assert_eq!(world.left(), Vec::<String>::new());
    assert_eq!(canary(&source), "source");
}

#[tokio::test]
async fn real_files_are_given_to_the_group_of_the_first_pod() {
    let mut world = World::new();
    let source = world.directory("source");
    let grouped = |world: &World, pod: &str, id| Wanted {
        group: Some(Group { id, policy: ChangePolicy::Always }),
        ..world.local(pod, &source)
    };
    let read_only = Wanted { read_only: true, ..grouped(&world, "c", 99) };
    world.volumes.prepare(&read_only).await.unwrap();
    world.take_down("c").await.unwrap();
    assert_ne!(fs::metadata(source.join(CANARY)).unwrap().gid(), 99, "what is only read stays as it is");
    for (pod, id) in [("a", 4242), ("b", 4242), ("d", 77)] {
        let path = world.volumes.prepare(&grouped(&world, pod, id)).await.unwrap();
        assert_eq!(fs::metadata(path.join(CANARY)).unwrap().gid(), 4242);
    }
    let event = world.events.try_recv().unwrap();
    assert_eq!(event.reason, "AlreadyMountedVolume");
    assert_eq!(
        event.message,
        "The requested fsGroup is 77, but the volume pv has GID 4242. The volume may not be shareable."
    );
    assert!(world.events.try_recv().is_err());
}

#[tokio::test]
async fn real_what_another_kubelet_has_mounted_is_taken_over() {
    let world = World::new();
    let source = world.directory("source");
    let group = Some(Group { id: 4242, policy: ChangePolicy::Always });
    let wanted = Wanted { group, ..world.local("a", &source) };
    let path = world.root.join("root/pods/a/volumes/kubernetes.io~local-volume/pv");
    fs::create_dir_all(&path).unwrap();
    linux::mount::bind(&source, &path).unwrap();
    assert_eq!(world.volumes.shown(&"a".into(), "the-pv").await, None);
    world.volumes.prepare(&wanted).await.unwrap();
    assert!(world.volumes.shown(&"a".into(), "the-pv").await.is_some());
    assert_ne!(fs::metadata(source.join(CANARY)).unwrap().gid(), 4242, "a pod is at work in it");
    assert_eq!(mounts_below(&world.root).len(), 1);
    // Mounted twice, as two that raced would have.
    linux::mount::bind(&source, &path).unwrap();
    world.take_down("a").await.unwrap();
    assert_eq!((world.left(), canary(&source).as_str()), (vec![], "source"));
    fs::create_dir_all(&path).unwrap();
    linux::mount::bind(&source, &path).unwrap();
    world.take_down("a").await.unwrap();
    assert_eq!((world.left(), canary(&source).as_str()), (vec![], "source"));
}

#[tokio::test]
async fn real_what_was_unmounted_behind_our_back_is_mounted_again() {
    let world = World::new();
    let source = world.directory("source");
    let path = world.volumes.prepare(&world.local("a", &source)).await.unwrap();
    linux::mount::unmount(&path).unwrap();
    assert_eq!(world.volumes.shown(&"a".into(), "the-pv").await, None);
    world.volumes.prepare(&world.local("a", &source)).await.unwrap();
    assert_eq!(canary(&path), "source");
    let open = fs::File::open(path.join(CANARY)).unwrap();
    let error = world.take_down("a").await.unwrap_err();
    assert!(error.to_string().contains("volume \"pv\""), "{error}");
    assert_eq!(canary(&path), "source");
    drop(open);
    linux::mount::unmount(&path).unwrap();
    // Something that is not ours, where the directory is to be removed.
    fs::write(path.join("precious"), "").unwrap();
    let error = world.take_down("a").await.unwrap_err();
    assert!(error.to_string().contains("it must be empty"), "{error}");
    fs::remove_file(path.join("precious")).unwrap();
    world.take_down("a").await.unwrap();
    assert_eq!(world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn real_a_local_disk_is_formatted_once() {
    let mut world = World::new();
    let Some(disk) = Loop::new(&world) else {
        println!("skipped: no loop devices");
        return;
    };
    let read_only = Wanted { read_only: true, ..world.local("a", &disk.0) };
    let error = world.volumes.prepare(&read_only).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot mount unformatted disk"), "{error}");
    let path = world.volumes.prepare(&world.local("a", &disk.0)).await.unwrap();
    let global = world.root.join("root/plugins/kubernetes.io/local-volume/mounts/pv");
    assert_eq!(MountTable::read().unwrap().at(&global).unwrap().fs_type, "ext4");
    fs::write(path.join(CANARY), "kept").unwrap();
    let volume = json!({"metadata": {"name": "pv"}, "spec": {"local": {"path": disk.0}}});
    let volume = serde_json::from_value(volume).unwrap();
    // The kernel lets only the machine's own root do it.
    world.program("resize2fs", "");
    let grows = |pod: &str| Growth::of(&volume, &pod.into(), [2, 1]).unwrap();
    world.volumes.expand(&grows("other")).await.unwrap();
    assert_eq!(world.called(), Vec::<String>::new(), "that pod does not have it");
    assert_eq!(world.volumes.expandable(&"a".into(), "the-pv").await.as_deref(), Some("pv"));
    world.volumes.expand(&grows("a")).await.unwrap();
    assert_eq!(world.called(), [format!("resize2fs {}", disk.0.display())]);
    world.restart();
    let other = world.volumes.prepare(&world.local("b", &disk.0)).await.unwrap();
    assert_eq!(canary(&other), "kept");
    assert_eq!(world.volumes.reclaim().await.unwrap().len(), 0);
    world.take_down("a").await.unwrap();
    assert_eq!(canary(&other), "kept");
    world.take_down("b").await.unwrap();
    assert_eq!(world.left(), Vec::<String>::new());

    let path = world.volumes.prepare(&world.local("a", &disk.0)).await.unwrap();
    assert_eq!(canary(&path), "kept", "and it is not formatted again");
    // Somebody else has it too: it is not unmounted below them.
    let elsewhere = world.root.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    linux::mount::bind(&path, &elsewhere).unwrap();
    world.take_down("a").await.unwrap();
    assert!(MountTable::read().unwrap().is_mount_point(&global));
    linux::mount::unmount(&elsewhere).unwrap();
    world.restart();
    let failed = world.volumes.reclaim().await.unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(world.left(), Vec::<String>::new());

    // Another file system than was asked for, which the kernel does not take for it.
    let mut xfs = world.local("a", &disk.0);
    xfs.kind = Kind::Local(Local { path: disk.0.clone(), fs_type: "xfs".into() });
    let error = world.volumes.prepare(&xfs).await.unwrap_err();
    assert!(error.to_string().contains("is formatted as ext4"), "{error}");
    world.take_down("a").await.unwrap();
    assert_eq!(world.left(), Vec::<String>::new());
    let path = world.volumes.prepare(&world.local("a", &disk.0)).await.unwrap();
    assert_eq!(canary(&path), "kept");
    world.take_down("a").await.unwrap();
}

/// A mount that shares its file system with no other.
fn of_its_own(export: &Path) -> String {
    let canary = export.join(CANARY);
    format!("for last; do :; done; /bin/mount -t tmpfs x $last && cp {} $last", canary.display())
}

#[tokio::test]
async fn real_nfs_by_its_command_line() {
    let mut world = World::new();
    let export = world.directory("export");
    let mount = of_its_own(&export);
    world.program("mount", &mount);
    world.program("umount", "exec /bin/umount \"$@\"");
    let wanted = Wanted {
        read_only: true,
        mount_options: vec!["nfsvers=4.1".into()],
        group: Some(Group { id: 4242, policy: ChangePolicy::Always }),
        ..world.nfs("a")
    };
    let path = world.volumes.prepare(&wanted).await.unwrap();
    let at = "ROOT/pods/a/volumes/kubernetes.io~nfs/share";
    assert_eq!(world.called(), [format!("mount -t nfs -o nfsvers=4.1,ro nas:/export {at}")]);
    assert_eq!(canary(&path), "export");
    assert_ne!(fs::metadata(path.join(CANARY)).unwrap().gid(), 4242, "the server's files stay as they are");
    world.restart();
    world.volumes.prepare(&wanted).await.unwrap();
    assert_eq!(world.called(), Vec::<String>::new());
    world.take_down("a").await.unwrap();
    assert_eq!(world.called(), [format!("umount {at}")]);
    assert_eq!((world.left(), canary(&export).as_str()), (vec![], "export"));

    world.program("mount", "echo mount.nfs: access denied >&2; exit 32");
    let error = world.volumes.prepare(&wanted).await.unwrap_err();
    let text = telemetry::chain(&error);
    assert!(text.contains("failed with exit status 32: mount.nfs: access denied"), "{text}");
    // It says that it failed, and has mounted something.
    world.program("mount", &format!("{mount}; exit 16"));
    world.volumes.prepare(&wanted).await.unwrap_err();
    assert_eq!(mounts_below(&world.root), Vec::<String>::new());
    world.take_down("a").await.unwrap();
    assert_eq!(world.left(), Vec::<String>::new());
}

#[tokio::test]
async fn real_a_mount_that_hangs_is_waited_for_and_holds_up_no_other() {
    let mut world = World::new();
    let export = world.directory("export");
    let (here, gate) = (fifo(&world, "here"), fifo(&world, "gate"));
    let script = "for last; do :; done
        case $last in */pods/a/*) echo x > HERE; read x < GATE;; esac
        exec /bin/mount --bind EXPORT $last";
    let script = script.replace("HERE", here.to_str().unwrap()).replace("GATE", gate.to_str().unwrap());
    world.program("mount", &script.replace("EXPORT", export.to_str().unwrap()));
    let wanted = world.nfs("a");
    tokio::select! {
        result = world.volumes.prepare(&wanted) => panic!("{result:?}"),
        () = told(&here) => {}
    }
    world.restart();
    let other = world.volumes.prepare(&world.nfs("b")).await.unwrap();
    assert_eq!(canary(&other), "export");
    let error = world.volumes.prepare(&wanted).await.unwrap_err();
    let expected = "an earlier command still runs (`mount -t nfs nas:/export";
    assert!(error.to_string().starts_with(expected), "{error}");
    let error = world.take_down("a").await.unwrap_err();
    assert!(error.to_string().contains("an earlier command still runs"), "{error}");
    assert!(world.root.join("root/pods/a/volumes/kubernetes.io~nfs/share").exists());
    fs::write(&gate, "\n").unwrap();
    let path = root_of(&world, "a");
    while !MountTable::read().unwrap().is_mount_point(&path) || is_running(&world, &path) {
        tokio::task::yield_now().await;
    }
    world.volumes.prepare(&wanted).await.unwrap();
    assert_eq!(mounts_below(&world.root.join("root/pods/a")).len(), 1, "it is not mounted twice");
    world.take_down("a").await.unwrap();
    world.take_down("b").await.unwrap();
    assert_eq!((world.left(), canary(&export).as_str()), (vec![], "export"));
}

fn root_of(world: &World, pod: &str) -> PathBuf {
    world.root.join("root/pods").join(pod).join("volumes/kubernetes.io~nfs/share")
}

fn is_running(world: &World, path: &Path) -> bool {
    world.volumes.commands.running(&Key::of(path)).unwrap().is_some()
}

/// An export that the pod `a` has mounted, and whose `umount` hangs, unless by force, once it has told the fifo.
async fn that_cannot_be_unmounted(world: &World) -> (PathBuf, PathBuf) {
    let export = world.directory("export");
    let (here, gate) = (fifo(world, "here"), fifo(world, "gate"));
    world.program("mount", &of_its_own(&export));
    let script = "case $1 in -f) exec /bin/umount $2;; esac; echo x > HERE; exec cat GATE";
    let script = script.replace("HERE", here.to_str().unwrap()).replace("GATE", gate.to_str().unwrap());
    world.program("umount", &script);
    world.volumes.prepare(&world.nfs("a")).await.unwrap();
    world.called();
    (export, here)
}

#[tokio::test]
async fn real_what_cannot_be_unmounted_is_unmounted_by_force() {
    let world = World::new();
    let (export, here) = that_cannot_be_unmounted(&world).await;
    let mut down = std::pin::pin!(world.take_down("a"));
    tokio::select! {
        result = &mut down => panic!("{result:?}"),
        () = told(&here) => {}
    }
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
    down.await.unwrap();
    let at = "ROOT/pods/a/volumes/kubernetes.io~nfs/share";
    assert_eq!(world.called(), [format!("umount {at}"), format!("umount -f {at}")]);
    assert_eq!((world.left(), canary(&export).as_str()), (vec![], "export"));

    // What is done by force is done to all who have the file system: while others have it, nobody is told or waited for.
    let bind = format!("for last; do :; done; exec /bin/mount --bind {} $last", export.display());
    world.program("mount", &bind);
    world.volumes.prepare(&world.nfs("a")).await.unwrap();
    world.called();
    world.take_down("a").await.unwrap();
    assert_eq!((world.called(), world.left()), (vec![], vec![]));
}

#[tokio::test]
async fn real_what_another_pod_gets_meanwhile_is_not_unmounted_by_force() {
    let world = World::new();
    let (_, here) = that_cannot_be_unmounted(&world).await;
    let mut down = std::pin::pin!(world.take_down("a"));
    tokio::select! {
        result = &mut down => panic!("{result:?}"),
        () = told(&here) => {}
    }
    // The kernel has one file system for all mounts of an export.
    let other = world.root.join("other");
    fs::create_dir(&other).unwrap();
    linux::mount::bind(&root_of(&world, "a"), &other).unwrap();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::time::resume();
    let mut left = down.await;
    while let Err(error) = &left {
        assert!(error.to_string().contains("still runs"), "the one that was killed is waited for: {error}");
        tokio::task::yield_now().await;
        left = world.take_down("a").await;
    }
    assert_eq!(world.called(), ["umount ROOT/pods/a/volumes/kubernetes.io~nfs/share"]);
    assert_eq!((world.left(), canary(&other).as_str()), (vec![], "export"));
}
