//! How full volumes are.

use pluginapi::csi::Usage as Numbers;

use super::*;
use crate::{Condition, Usage};

impl World {
    async fn usage(&self, pod: &str, name: &str) -> Result<Option<Usage>, VolumeError> {
        self.volumes.usage(&PodUid::from(pod), name).await
    }
}

#[tokio::test]
async fn its_driver_says_how_full_a_volume_is() {
    let mut world = World::start().await;
    assert_eq!(world.usage("u1", "the-v1").await.unwrap(), None, "nobody has it");
    world.volumes.prepare(&wanted("u1", "v1")).await.unwrap();
    let usage = world.usage("u1", "the-v1").await.unwrap().unwrap();
    assert_eq!(usage.bytes, Some(Numbers { available: 3 << 20, total: 4 << 20, used: 1 << 20 }));
    assert_eq!(usage.inodes.unwrap().total, 400);
    assert_eq!(usage.condition, None, "it does not tell");
    assert_eq!(world.usage("u1", "the-v2").await.unwrap(), None);
    // Neither a restart nor a pod that is gone.
    world.restart();
    assert!(world.usage("u1", "the-v1").await.unwrap().is_some());
    world.deregister().await;
    assert!(matches!(world.usage("u1", "the-v1").await, Err(VolumeError::NotRegistered(_))));
    world.register().await;
    world.take_down("u1").await.unwrap();
    assert_eq!(world.usage("u1", "the-v1").await.unwrap(), None);
}

#[tokio::test]
async fn a_driver_that_says_nothing_is_not_asked() {
    let options = DriverOptions::new(DRIVER, Mounting::Pretended);
    let world = World::with(options.with_capabilities([Capability::StageUnstage])).await;
    world.volumes.prepare(&wanted("u1", "v1")).await.unwrap();
    assert_eq!(world.usage("u1", "the-v1").await.unwrap(), None);
    assert!(!world.fake.calls().iter().any(|call| call.name == "NodeGetVolumeStats"));
}

#[tokio::test]
async fn a_volume_that_is_not_well() {
    let options = DriverOptions::new(DRIVER, Mounting::Pretended);
    let world =
        World::with(options.with_capabilities([Capability::VolumeStats, Capability::VolumeCondition])).await;
    world.volumes.prepare(&wanted("u1", "v1")).await.unwrap();
    let condition = async || world.usage("u1", "the-v1").await.unwrap().unwrap().condition;
    assert_eq!(condition().await, Some(Condition::Well));
    world.fake.set_condition("v1", Some("a disk is broken"));
    assert_eq!(condition().await, Some(Condition::Abnormal("a disk is broken".to_owned())));
}
