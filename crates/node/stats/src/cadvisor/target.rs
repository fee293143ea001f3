//! What the series are about: the node, daemons, QoS classes, pods, sandboxes and containers.

use std::collections::HashMap;

use image::reference::ImageName;
use jiff::Timestamp;
use linux::diskstats::Disk;
use linux::netdev::Interface;
use telemetry::metrics::LabelSet;

use crate::disks::{self, Finds, Found};
use crate::reading::{Measured, Member, PodReading, Processes, Reading};

/// The labels of every series, in the order in which they are written.
const LABELS: &[&str; 6] = labels!();

/// One thing that series are about.
pub(super) struct Target<'a> {
    pub(super) labels: LabelSet,
    pub(super) group: &'a Measured,
    pub(super) started: Timestamp,
    pub(super) processes: Option<Processes>,
    pub(super) network: &'a [Interface],
    /// File systems; of the node alone.
    pub(super) filesystems: Vec<Filesystem<'a>>,
    /// Names of block devices.
    pub(super) devices: &'a Devices,
}

/// A file system on a disk.
pub(super) struct Filesystem<'a> {
    /// Its device, such as `/dev/sda1`.
    pub(super) device: String,
    pub(super) found: Found,
    /// What the device did, if the kernel tells.
    pub(super) disk: Option<&'a Disk>,
}

/// Names of block devices by their numbers.
pub(super) type Devices = HashMap<(u32, u32), String>;

/// The value of each label, but for the path.
#[derive(Clone, Copy, Default)]
struct Names<'a> {
    container: &'a str,
    image: &'a str,
    name: &'a str,
    namespace: &'a str,
    pod: &'a str,
}

struct Targets<'a> {
    reading: &'a Reading,
    devices: &'a Devices,
    found: Vec<Target<'a>>,
}

/// Everything that series are about, and the names of devices that these borrow.
pub(super) fn with_all<T>(reading: &Reading, finds: &Finds, work: impl FnOnce(&[Target<'_>]) -> T) -> T {
    let devices =
        reading.node.disks.iter().map(|disk| (disk.device, format!("/dev/{}", disk.name))).collect();
    let mut targets = Targets { reading, devices: &devices, found: Vec::new() };
    targets.node(finds);
    let boot = reading.moment.boot();
    let since = |group: &Measured| Timestamp::try_from(group.usage.since).unwrap_or(boot).max(boot);
    for member in reading.system.values() {
        targets.member(member, Names::default(), since(&member.group));
    }
    for group in &reading.classes {
        targets.add(group, Names::default(), since(group));
    }
    reading.pods.iter().for_each(|pod| targets.pod(pod));
    work(&targets.found)
}

impl<'a> Targets<'a> {
    fn add(&mut self, group: &'a Measured, names: Names<'_>, started: Timestamp) -> &mut Target<'a> {
        let Names { container, image, name, namespace, pod } = names;
        let values = [container, &group.path, image, name, namespace, pod];
        let pairs: Vec<(&str, &str)> = LABELS.iter().copied().zip(values).collect();
        let at = self.found.len();
        self.found.push(Target {
            labels: LabelSet::new(&pairs),
            group,
            started,
            processes: None,
            network: &[],
            filesystems: Vec::new(),
            devices: self.devices,
        });
        &mut self.found[at]
    }

    fn member(&mut self, member: &'a Member, names: Names<'_>, started: Timestamp) -> &mut Target<'a> {
        let target = self.add(&member.group, names, started);
        target.processes = member.processes;
        target
    }

    fn node(&mut self, finds: &Finds) {
        let reading = self.reading;
        let Some(root) = &reading.node.root else { return };
        let filesystems = disks::on_device(&reading.node.mounts).into_iter().filter_map(|mount| {
            Some(Filesystem {
                device: mount.source.to_string_lossy().into_owned(),
                found: *finds.get(&mount.point)?,
                disk: reading.node.disks.iter().find(|disk| disk.device == mount.device),
            })
        });
        let filesystems = filesystems.collect();
        let target = self.add(root, Names::default(), reading.moment.boot());
        target.network = &reading.node.network;
        target.filesystems = filesystems;
    }

    fn pod(&mut self, pod: &'a PodReading) {
        let observed = &pod.view.observed;
        let names = Names {
            namespace: &observed.pod.name.namespace,
            pod: &observed.pod.name.name,
            ..Names::default()
        };
        let sandbox = observed.sandboxes.first();
        let started = sandbox.map_or(self.reading.moment.at, |sandbox| sandbox.created_at);
        let network = pod.network.as_deref().unwrap_or_default();
        if let Some(group) = &pod.group {
            let target = self.add(group, names, started);
            // Where the sandbox has a cgroup, the network is its.
            if pod.sandbox.is_none() {
                target.network = network;
            }
        }
        if let (Some(member), Some(sandbox)) = (&pod.sandbox, sandbox) {
            let view = &self.reading.view;
            let names = Names {
                container: view.sandbox_container,
                image: view.sandbox_image.as_deref().unwrap_or_default(),
                name: sandbox.id.as_str(),
                ..names
            };
            self.member(member, names, started).network = network;
        }
        for (observed, reading) in pod.containers() {
            let Some(member) = &reading.member else { continue };
            let image = full_name(&observed.image);
            let names =
                Names { container: &observed.name, image: &image, name: observed.id.as_str(), ..names };
            self.member(member, names, observed.created_at);
        }
    }
}

/// The name of an image as runtimes write it: with its registry, and its digest or tag.
fn full_name(image: &str) -> String {
    // The image's id, where the runtime has no name for it.
    if image.starts_with("sha256:") {
        return image.to_owned();
    }
    let Ok(ImageName { registry, path, tag, digest }) = ImageName::parse(image) else {
        return image.to_owned();
    };
    match (digest, tag) {
        (Some(digest), _) => format!("{registry}/{path}@{digest}"),
        (None, Some(tag)) => format!("{registry}/{path}:{tag}"),
        (None, None) => format!("{registry}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (image, expected) in [
            ("nginx", "docker.io/library/nginx:latest".to_owned()),
            ("nginx:1.25", "docker.io/library/nginx:1.25".to_owned()),
            ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10".to_owned()),
            (&*format!("a/b:1@{digest}"), format!("docker.io/a/b@{digest}")),
            (&*digest, digest.clone()),
            ("", String::new()),
        ] {
            assert_eq!(full_name(image), expected);
        }
    }
}
