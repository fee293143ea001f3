//! Who makes cgroups, when berth's configuration and the runtime do not agree about it.

use std::fs;

use testkit::containerd::Driver;
use testkit::pod::pod;

use crate::machine::{cgroup, processes};
use crate::rig::{FOREVER, Rig, id};

#[tokio::test]
async fn real_the_runtimes_cgroup_driver_wins() {
    let mut rig = Rig::start().await;
    rig.until_up().await;
    rig.node.stop().await.unwrap();
    let (runtimes, others) = match rig.containerd.instance().driver() {
        Driver::Systemd => ("systemd", "cgroupfs"),
        Driver::Cgroupfs => ("cgroupfs", "systemd"),
    };
    let written = fs::read_to_string(rig.node.config()).unwrap();
    let config = written.replace(&format!("cgroupDriver: {runtimes}"), &format!("cgroupDriver: {others}"));
    assert_ne!(written, config);
    fs::write(rig.node.config(), config).unwrap();
    rig.node.start().unwrap();

    if rig.containerd.version().major < 2 {
        // This runtime does not say, so that the configured driver is taken, which is not there.
        rig.until_machine("berth has ended", || rig.node.log_tail().contains("berth cannot go on")).await;
        assert!(
            rig.node.log_tail().contains("systemd cannot be reached over D-Bus"),
            "{}",
            rig.node.log_tail()
        );
        assert!(rig.node.stop().await.is_err(), "berth ended well");
        fs::write(rig.node.config(), written).unwrap();
        rig.node.start().unwrap();
    } else {
        rig.put("agreed", &pod("agreed").container("main", &FOREVER));
        let pod = rig.until_ready("agreed").await;
        let path = cgroup(processes(&id(&pod, "main"))[0], "cpu").display().to_string();
        assert_eq!(path.contains(".slice/"), runtimes == "systemd", "{path}");
        let log = fs::read_to_string(rig.node.log()).unwrap();
        assert!(log.contains("cgroupDriver is not the driver of the container runtime"), "{log}");
    }
    rig.until_up().await;
    rig.finish().await;
}
