//! FlexVolume drivers that are scripts. As root: they mount.

use super::*;
use crate::flexvolume::{Flex, Secret};

/// A driver that notes its calls, and answers each with what is given for it. `$2` is where something is mounted, if
/// anything is.
fn driver(world: &World, answers: &[(&str, &str)]) {
    let dir = world.root.join("drivers/example.com~lvm");
    fs::create_dir_all(&dir).unwrap();
    let mut script =
        format!("#!/bin/sh\necho \"$*\" >> {}\ncase $1 in\n", world.root.join("called").display());
    for (call, answer) in answers {
        script.push_str(&format!("{call}) {answer};;\n"));
    }
    script.push_str("*) echo '{\"status\": \"Not supported\"}'; exit 1;;\nesac\n");
    let path = dir.join("lvm");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

const DONE: &str = "echo '{\"status\": \"Success\"}'";
const WITHOUT_ATTACH: &str = "echo '{\"status\": \"Success\", \"capabilities\": {\"attach\": false}}'";

fn flex(world: &World, pod: &str) -> Wanted {
    let map = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let flex = Flex {
        driver: "example.com/lvm".into(),
        fs_type: "ext4".into(),
        options: map("size", "1"),
        secret: Secret(map("password", "aHVudGVyMg==")),
        pod: map("kubernetes.io/pod.name", pod),
    };
    world.wanted(pod, Plugin::Flex("example.com/lvm".into()), "vol", Kind::Flex(flex))
}

fn bind(content: &Path) -> String {
    format!("/bin/mount --bind {} $2 && {DONE}", content.display())
}

#[tokio::test]
async fn real_a_driver_that_mounts_for_each_pod() {
    let mut world = World::new();
    let content = world.directory("content");
    let mount = bind(&content);
    let unmount = format!("/bin/umount $2 && {DONE}");
    driver(&world, &[("init", WITHOUT_ATTACH), ("mount", &mount), ("unmount", &unmount)]);
    let wanted = Wanted { group: Some(Group { id: 77, policy: ChangePolicy::Always }), ..flex(&world, "a") };
    let path = world.volumes.prepare(&wanted).await.unwrap();
    assert_eq!(path, world.root.join("root/pods/a/volumes/example.com~lvm/vol"));
    assert_eq!(canary(&path), "content");
    assert_eq!(fs::metadata(content.join(CANARY)).unwrap().gid(), 77);
    let told = r#"{"kubernetes.io/fsType":"ext4","kubernetes.io/mounterArgs.FsGroup":"77","kubernetes.io/pod.name":"a","kubernetes.io/pvOrVolumeName":"vol","kubernetes.io/readwrite":"rw","kubernetes.io/secret/password":"aHVudGVyMg==","size":"1"}"#;
    let at = "ROOT/pods/a/volumes/example.com~lvm/vol";
    assert_eq!(world.called(), ["init".to_owned(), format!("mount {at} {told}")]);
    world.restart();
    assert!(world.volumes.shown(&"a".into(), "the-vol").await.is_some());
    world.take_down("a").await.unwrap();
    assert_eq!(world.called(), [format!("unmount {at}")]);
    assert_eq!((world.left(), canary(&content).as_str()), (vec![], "content"));
}

#[tokio::test]
async fn real_a_driver_that_attaches_and_leaves_the_rest_to_the_kubelet() {
    let mut world = World::new();
    let content = world.directory("content");
    let mount = bind(&content);
    let attach = "echo '{\"status\": \"Success\", \"device\": \"/dev/lvm0\"}'";
    driver(&world, &[("init", DONE), ("attach", attach), ("mountdevice", &mount), ("detach", DONE)]);
    let path = world.volumes.prepare(&flex(&world, "a")).await.unwrap();
    world.restart();
    world.volumes.prepare(&flex(&world, "b")).await.unwrap();
    assert_eq!(canary(&path), "content");
    let told = r#"{"kubernetes.io/fsType":"ext4","kubernetes.io/pvOrVolumeName":"vol","kubernetes.io/readwrite":"rw","size":"1"}"#;
    let global = "ROOT/plugins/kubernetes.io/flexvolume/example.com/lvm/mounts/vol";
    let called = world.called();
    let expected = [
        "init".to_owned(),
        format!("attach {told} node-1"),
        format!("waitforattach /dev/lvm0 {told}"),
        format!("mountdevice {global} /dev/lvm0 {told}"),
    ];
    assert_eq!(called[..4], expected);
    assert!(
        called[4].starts_with("mount ROOT/pods/a/") && called[5] == "init" && called[6].starts_with("mount ")
    );
    assert_eq!(called.len(), 7, "{called:?}");
    world.take_down("a").await.unwrap();
    assert_eq!(world.called(), ["unmount ROOT/pods/a/volumes/example.com~lvm/vol"]);
    world.take_down("b").await.unwrap();
    assert_eq!(
        world.called(),
        [
            "unmount ROOT/pods/b/volumes/example.com~lvm/vol".to_owned(),
            format!("unmountdevice {global}"),
            "detach vol node-1".to_owned(),
        ]
    );
    assert_eq!(mounts_below(&world.root), Vec::<String>::new());
    assert_eq!(canary(&content), "content");
}

#[tokio::test]
async fn real_a_driver_that_fails_or_is_gone() {
    let world = World::new();
    let content = world.directory("content");
    let error = world.volumes.prepare(&flex(&world, "a")).await.unwrap_err();
    assert!(error.to_string().starts_with("there is no FlexVolume driver at"), "{error}");
    assert!(!world.root.join("root/pods").exists());
    let refuse = "echo '{\"status\": \"Failure\", \"message\": \"no room\"}'; exit 1";
    driver(&world, &[("init", WITHOUT_ATTACH), ("mount", refuse)]);
    let error = world.volumes.prepare(&flex(&world, "a")).await.unwrap_err();
    assert_eq!(error.to_string(), "mount command failed, status: Failure, reason: no room");
    let mount = bind(&content);
    driver(&world, &[("init", WITHOUT_ATTACH), ("mount", &mount)]);
    let path = world.volumes.prepare(&flex(&world, "a")).await.unwrap();
    fs::rename(world.root.join("drivers"), world.root.join("away")).unwrap();
    let error = world.take_down("a").await.unwrap_err();
    assert!(error.to_string().contains("there is no FlexVolume driver at"), "{error}");
    assert_eq!(canary(&path), "content", "nobody knows what else it did");
    fs::rename(world.root.join("away"), world.root.join("drivers")).unwrap();
    world.take_down("a").await.unwrap();
    assert_eq!((world.left(), canary(&content).as_str()), (vec![], "content"));
}

#[tokio::test]
async fn real_a_driver_has_a_file_system_grow() {
    let world = World::new();
    let content = world.directory("content");
    let mount = bind(&content);
    let attach = "echo '{\"status\": \"Success\", \"device\": \"/dev/lvm0\"}'";
    let volume = json!({
        "metadata": {"name": "vol"},
        "spec": {"flexVolume": {"driver": "example.com/lvm", "fsType": "ext4", "options": {"size": "1"}}},
    });
    let growth = Growth::of(&serde_json::from_value(volume).unwrap(), &"a".into(), [2, 1]).unwrap();
    let answers = [("init", DONE), ("attach", attach), ("mountdevice", &*mount), ("detach", DONE)];
    driver(&world, &answers);
    world.volumes.prepare(&flex(&world, "a")).await.unwrap();
    assert_eq!(world.volumes.expandable(&"a".into(), "the-vol").await.as_deref(), Some("vol"));
    world.called();
    // It leaves that to the kubelet, and has mounted nothing that is a disk.
    world.volumes.expand(&growth).await.unwrap();
    let told = r#"{"kubernetes.io/fsType":"ext4","kubernetes.io/pvOrVolumeName":"vol","kubernetes.io/readwrite":"rw","size":"1"}"#;
    let global = "ROOT/plugins/kubernetes.io/flexvolume/example.com/lvm/mounts/vol";
    assert_eq!(world.called(), ["init".to_owned(), format!("expandfs {told}  {global} 2 1")]);
    let refuse = "echo '{\"status\": \"Failure\", \"message\": \"no room\"}'; exit 1";
    driver(&world, &[&answers[..], &[("expandfs", refuse)]].concat());
    let error = world.volumes.expand(&growth).await.unwrap_err();
    assert_eq!(error.to_string(), "expandfs command failed, status: Failure, reason: no room");
    let never = "echo '{\"status\": \"Success\", \"capabilities\": {\"requiresFSResize\": false}}'";
    driver(&world, &[&[("init", never), ("expandfs", refuse)], &answers[1..]].concat());
    world.volumes.expand(&growth).await.unwrap();
    world.take_down("a").await.unwrap();
    assert_eq!((world.left(), canary(&content).as_str()), (vec![], "content"));
}
