//! berth as a service of systemd, by the unit in the README.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use testkit::containerd::Node;
use testkit::pod::pod;

use crate::machine::processes;
use crate::rig::{FOREVER, Rig, id};

/// A service that is gone when this is dropped.
struct Service {
    name: String,
    file: PathBuf,
}

impl Service {
    /// Installs the README's unit with another program, without the machine's containerd, and with a watchdog that bites
    /// sooner.
    fn install(node: &Node) -> Self {
        let root = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let readme = fs::read_to_string(root.join("../../README.md")).unwrap();
        let unit = readme.split("```ini\n").nth(1).unwrap().split("```").next().unwrap();
        let lines =
            unit.lines().filter(|line| !line.contains("containerd")).map(|line| match line.split_once('=') {
                Some(("ExecStart", _)) => format!("ExecStart={}", node.agent_command().join(" ")),
                Some(("WatchdogSec", _)) => "WatchdogSec=10".to_owned(),
                _ => line.to_owned(),
            });
        let unit = lines.collect::<Vec<_>>().join("\n");
        assert!(unit.contains("Type=notify") && unit.contains("WatchdogSec=10"), "{unit}");
        let name = format!("{}-test.service", node.name());
        let file = Path::new("/run/systemd/system").join(&name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, unit).unwrap();
        let service = Self { name, file };
        systemctl(&["daemon-reload"]);
        service
    }

    /// Asks systemd for something to be done, and waits until it is.
    fn tell(&self, verb: &str) {
        systemctl(&[verb, &self.name]);
    }

    /// What systemd knows of the service.
    fn property(&self, name: &str) -> String {
        systemctl(&["show", "--value", "--property", name, &self.name])
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = Command::new("systemctl").args(["stop", &self.name]).status();
        let _ = fs::remove_file(&self.file);
        let _ = Command::new("systemctl").arg("daemon-reload").status();
    }
}

fn systemctl(args: &[&str]) -> String {
    let output = Command::new("systemctl").args(args).output().unwrap();
    let (out, err) = (crate::rig::text(&output.stdout), crate::rig::text(&output.stderr));
    assert!(output.status.success(), "systemctl {args:?}: {out}{err}");
    out.trim().to_owned()
}

#[tokio::test]
async fn real_systemd_restarts_berth_and_no_container_notices() {
    if !Path::new("/run/systemd/system").exists() {
        println!("skipped the systemd unit: systemd is not this machine's init");
        return;
    }
    let mut rig = Rig::start().await;
    rig.put("steady", &pod("steady").container("main", &FOREVER));
    let main = id(&rig.until_ready("steady").await, "main");
    rig.until_machine("the shell and what it waits for", || processes(&main).len() == 2).await;
    let before = processes(&main);
    rig.node.stop().await.unwrap();

    let service = Service::install(&rig.node);
    // Returns when berth has said that it is up.
    service.tell("start");
    assert_eq!(service.property("SubState"), "running");
    let started = rig.until_ready("steady").await;
    assert_eq!((id(&started, "main"), processes(&main)), (main.clone(), before.clone()));

    service.tell("restart");
    let restarted = rig.until_ready("steady").await;
    assert_eq!((id(&restarted, "main"), processes(&main)), (main.clone(), before.clone()));

    // A berth that stands still says nothing to the watchdog.
    let hung = service.property("MainPID");
    kill_process(Pid::from_raw(hung.parse().unwrap()).unwrap(), Signal::STOP).unwrap();
    let another = || !["0", &hung].contains(&&*service.property("MainPID"));
    rig.until_machine("systemd started another berth", another).await;
    rig.until_machine("berth is up", || service.property("SubState") == "running").await;
    let recovered = rig.until_ready("steady").await;
    assert_eq!((id(&recovered, "main"), processes(&main)), (main.clone(), before));

    service.tell("stop");
    assert_eq!(
        (service.property("Result"), service.property("ExecMainStatus")),
        ("success".into(), "0".into())
    );
    assert!(!processes(&main).is_empty(), "a container ended with the service");
    drop(service);
    rig.node.start().unwrap();
    rig.until_ready("steady").await;
    rig.finish().await;
}
