//! Volumes that are mounted with an SELinux label.

use super::*;

const LABEL: &str = "system_u:object_r:container_file_t:s0:c1,c2";

fn labelled(pod: &str, volume: &str, label: &str) -> Wanted {
    Wanted { label: Some(label.to_owned()), mount_options: vec!["noatime".to_owned()], ..wanted(pod, volume) }
}

fn flags(world: &World) -> [Vec<String>; 2] {
    use pluginapi::proto::csi::volume_capability::AccessType;
    let (stage, publish) = (world.fake.last_stage().unwrap(), world.fake.last_publish().unwrap());
    [stage.volume_capability, publish.volume_capability].map(|capability| {
        match capability.unwrap().access_type {
            Some(AccessType::Mount(mount)) => mount.mount_flags,
            _ => Vec::new(),
        }
    })
}

#[tokio::test]
async fn the_driver_mounts_with_the_label_and_notes_say_so() {
    let mut world = World::start().await;
    world.volumes.prepare(&labelled("u1", "v1", LABEL)).await.unwrap();
    let expected = vec!["noatime".to_owned(), format!("context=\"{LABEL}\"")];
    assert_eq!(flags(&world), [expected.clone(), expected]);
    world.restart();
    let pod = PodUid::from("u1");
    assert_eq!(world.volumes.label(&pod, "the-v1").await.as_deref(), Some(LABEL));
    world.volumes.prepare(&wanted("u2", "v2")).await.unwrap();
    assert_eq!(world.volumes.label(&PodUid::from("u2"), "the-v2").await, None);
    // Another pod with the same label shares what is staged.
    world.fake.forget_calls();
    world.volumes.prepare(&labelled("u3", "v1", LABEL)).await.unwrap();
    assert!(!world.fake.changes().contains(&"NodeUnstageVolume"));
}

#[tokio::test]
async fn of_two_labels_one_waits_for_the_other() {
    let world = World::start().await;
    world.volumes.prepare(&labelled("u1", "v1", LABEL)).await.unwrap();
    let other = labelled("u2", "v1", "system_u:object_r:container_file_t:s0:c3");
    let error = world.volumes.prepare(&other).await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("conflicting SELinux labels of volume") && text.contains(LABEL), "{text}");
    assert!(world.volumes.prepare(&wanted("u2", "v1")).await.is_err(), "nor without a label");
    // A container that starts again has what it had.
    world.fake.forget_calls();
    world.volumes.prepare(&labelled("u1", "v1", LABEL)).await.unwrap();
    assert!(world.fake.changes().is_empty());
    // While somebody wants it, it stays staged; with the other label it is staged anew.
    let _wanting = world.volumes.owners.want(&other.volume);
    world.take_down("u1").await.unwrap();
    assert_eq!(world.fake.staged().len(), 1);
    world.fake.forget_calls();
    world.volumes.prepare(&other).await.unwrap();
    assert_eq!(world.fake.changes(), ["NodeUnstageVolume", "NodeStageVolume", "NodePublishVolume"]);
    assert!(flags(&world)[0][1].contains("s0:c3"));
    assert_eq!(world.fake.damage(), Vec::<String>::new());
}
