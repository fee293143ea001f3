//! What the runtime tells of itself, and what cannot be set up at first.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::containerd::Driver;
use testkit::pod::pod;

use crate::machine::{cgroup, first_process, is_v2};
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
        rig.put("waits", &pod("waits").container("main", &FOREVER));
        let is_told = |why: &serde_json::Value| {
            why["waitingFor"].to_string().contains("systemd cannot be reached over D-Bus")
        };
        let why = rig.until_why("waits", is_told).await;
        assert_eq!(why["step"], "Cgroup", "{why:#}");
        rig.node.stop().await.unwrap();
        fs::write(rig.node.config(), written).unwrap();
        rig.node.start().unwrap();
        rig.until_ready("waits").await;
    } else {
        rig.put("agreed", &pod("agreed").container("main", &FOREVER));
        let pod = rig.until_ready("agreed").await;
        let path = cgroup(first_process(&id(&pod, "main")), "cpu").display().to_string();
        assert_eq!(path.contains(".slice/"), runtimes == "systemd", "{path}");
        let log = fs::read_to_string(rig.node.log()).unwrap();
        assert!(log.contains("cgroupDriver is not the driver of the container runtime"), "{log}");
    }
    rig.until_up().await;
    rig.finish().await;
}

#[tokio::test]
async fn real_limits_that_cannot_be_set_are_tried_again() {
    let mut rig = Rig::start().await;
    rig.until_up().await;
    if is_v2() || rig.containerd.instance().driver() == Driver::Systemd {
        println!("skipped limits that cannot be set: the missing cgroup is made by hand, in cgroup v1");
        return rig.finish().await;
    }
    rig.node.stop().await.unwrap();
    let root = rig.containerd.instance().cgroup_root().to_owned();
    let config = fs::read_to_string(rig.node.config()).unwrap();
    let more = format!(
        "enforceNodeAllocatable: [pods, kube-reserved]\n\
         kubeReserved: {{cpu: 100m, memory: 50Mi}}\n\
         kubeReservedCgroup: {root}/daemons\n"
    );
    fs::write(rig.node.config(), config + &more).unwrap();
    rig.node.start().unwrap();
    rig.put("runs", &pod("runs").container("main", &FOREVER));
    rig.until_ready("runs").await;
    let log = || fs::read_to_string(rig.node.log()).unwrap();
    rig.until_machine("the failure is told", || log().contains("does not exist: create it")).await;

    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten();
    let roots = hierarchies.map(|entry| entry.path().join(root.trim_start_matches('/')));
    let made: Vec<PathBuf> = roots.filter(|root| root.exists()).map(|root| root.join("daemons")).collect();
    for daemons in &made {
        fs::create_dir(daemons).unwrap();
    }
    let shares =
        Path::new("/sys/fs/cgroup/cpu").join(root.trim_start_matches('/')).join("daemons/cpu.shares");
    let limited = || fs::read_to_string(&shares).is_ok_and(|text| text.trim() == "102");
    rig.until_machine("daemons are limited", limited).await;
    for daemons in &made {
        fs::remove_dir(daemons).unwrap();
    }
    rig.finish().await;
}

#[tokio::test]
async fn real_the_image_of_sandboxes_is_known_or_pinned() {
    let rig = Rig::start().await;
    rig.until_up().await;
    let named = rig.runtime.sandbox_image().await.unwrap();
    let images = rig.runtime.list_images().await.unwrap();
    let kept = images
        .iter()
        .any(|image| image.pinned || named.as_ref().is_some_and(|named| image.repo_tags.contains(named)));
    assert!(kept, "{named:?} of {images:#?}");
    rig.finish().await;
}
