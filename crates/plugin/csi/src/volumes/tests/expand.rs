//! Volumes that grow.

use types::corev1::PersistentVolume;

use super::*;
use crate::{ExpandError, Growth, expand_secret};

fn growth(pod: &str, volume: &str, bytes: u64) -> Growth {
    let volume: PersistentVolume = serde_json::from_value(serde_json::json!({
        "metadata": {"name": format!("pv-{volume}")},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "mountOptions": ["noatime"],
            "csi": {
                "driver": DRIVER, "volumeHandle": volume, "fsType": "xfs",
                "nodeExpandSecretRef": {"namespace": "prod", "name": "s"},
            },
        },
    }))
    .unwrap();
    let name = expand_secret(&volume).unwrap();
    assert_eq!((name.namespace.as_str(), name.name.as_str()), ("prod", "s"));
    let secret = types::corev1::Secret {
        data: Some([("password".to_owned(), types::k8s::ByteString(b"hunter2".to_vec()))].into()),
        ..Default::default()
    };
    let growth = Growth::of(&volume, &PodUid::from(pod), bytes, Some(&secret)).unwrap();
    assert!(!format!("{growth:?}").contains("hunter2"));
    growth
}

#[tokio::test]
async fn a_driver_is_told_what_it_needs() {
    let mut world = World::start().await;
    let pod = PodUid::from("u1");
    assert_eq!(world.volumes.expandable(&pod, "the-v1").await, None);
    let nothing = world.volumes.expand(&growth("u1", "v1", 8 << 20)).await.unwrap_err();
    assert!(matches!(nothing, ExpandError::NotThere(_)) && !nothing.is_final(), "{nothing}");
    world.volumes.prepare(&wanted("u1", "v1")).await.unwrap();
    world.restart();
    assert_eq!(world.volumes.expandable(&pod, "the-v1").await.unwrap().handle, "v1");
    world.volumes.expand(&growth("u1", "v1", 8 << 20)).await.unwrap();
    let sent = world.fake.last_expand().unwrap();
    assert_eq!(sent.volume_path, world.fake.published().keys().next().unwrap().display().to_string());
    assert_eq!(sent.staging_target_path, world.fake.staged()["v1"].display().to_string());
    assert_eq!(sent.capacity_range.unwrap().required_bytes, 8 << 20);
    assert_eq!(sent.secrets["password"], "hunter2");
    assert_eq!(world.fake.size("v1"), 8 << 20);
    let usage = world.volumes.usage(&pod, "the-v1").await.unwrap().unwrap();
    assert_eq!(usage.bytes.unwrap().total, 8 << 20);
    // One that is being taken away is not asked for.
    world.take_down("u1").await.unwrap();
    world.fake.forget_calls();
    assert!(matches!(
        world.volumes.expand(&growth("u1", "v1", 9 << 20)).await,
        Err(ExpandError::NotThere(_))
    ));
    assert!(world.fake.changes().is_empty());
    assert_eq!(world.fake.damage(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_failure_means() {
    let world = World::start().await;
    world.volumes.prepare(&wanted("u1", "v1")).await.unwrap();
    // Final, never, in use.
    for (code, expected) in [
        (Code::Internal, (true, false, false)),
        (Code::OutOfRange, (true, true, false)),
        (Code::NotFound, (true, true, false)),
        (Code::FailedPrecondition, (true, false, true)),
        (Code::Aborted, (false, false, false)),
        (Code::Unavailable, (false, false, false)),
    ] {
        let fault = Fault::Fail(code, "no room".into());
        let _strike = world.fake.raise(Strike::new("NodeExpandVolume", Moment::Before, fault));
        let error = world.volumes.expand(&growth("u1", "v1", 8 << 20)).await.unwrap_err();
        assert_eq!((error.is_final(), error.is_infeasible(), error.is_in_use()), expected, "{error}");
        assert!(error.to_string().contains("no room"), "{error}");
    }
    world.deregister().await;
    assert!(!world.volumes.expand(&growth("u1", "v1", 8 << 20)).await.unwrap_err().is_final());
}

#[tokio::test]
async fn a_driver_that_has_nothing_to_do_on_nodes() {
    let options = DriverOptions::new(DRIVER, Mounting::Pretended);
    let world = World::with(options.with_capabilities([Capability::VolumeStats])).await;
    world.volumes.prepare(&wanted("u1", "v1")).await.unwrap();
    assert_eq!(world.volumes.expandable(&PodUid::from("u1"), "the-v1").await, None);
    let error = world.volumes.expand(&growth("u1", "v1", 8 << 20)).await.unwrap_err();
    assert!(matches!(error, ExpandError::Unsupported(_)) && !error.is_final(), "{error}");
    assert!(world.fake.last_expand().is_none());
}
