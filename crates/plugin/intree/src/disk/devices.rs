//! Volumes that pods get as devices: a link in the pod's directory leads to the disk. A name like `/dev/sdb` may be that of
//! another disk later, so the mark says since which boot of the machine the link leads where, and to which device.
//!
//! Another kubelet has a bind mount of the disk beside, and a loop device on that. Who takes the volume away lets go of both.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use linux::PathError;
use linux::beneath::{self, Root};
use types::PodUid;
use volume::PodPaths;
use volume::claim::VolumeMode;
use volume::held;
use volume::paths::DIR_MODE;

use super::{DiskError, MARK, Seen, files_below, open, read, read_note, target_below, write};
use crate::layout::{Device, Layout, Plugin, Target, is_name};
use crate::plan::TargetShown;

/// The pod's directory of links to disks of this kind, below that of all pods.
fn links(pod: &PodUid, plugin: &Plugin) -> PathBuf {
    [pod.as_str(), "volumeDevices", &plugin.dir()].iter().collect()
}

/// The numbers of the device that `path` leads to; none if it leads to none.
fn numbers(path: &Path) -> Option<u64> {
    let meta = fs::metadata(path).ok()?;
    meta.file_type().is_block_device().then(|| meta.rdev())
}

/// What the mark of a device says.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Mark {
    /// How the pod calls it.
    name: String,
    /// The boot of the machine in which it was made whole.
    boot: String,
    /// The numbers of the device.
    numbers: u64,
    /// Where the link leads.
    path: PathBuf,
}

impl Mark {
    fn text(&self) -> Result<String, DiskError> {
        let path = self.path.to_str().ok_or_else(|| DiskError::Name(self.path.display().to_string()))?;
        Ok(format!("{}\n{}\n{}\n{path}", self.name, self.boot, self.numbers))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.splitn(4, '\n');
        let (name, boot) = (lines.next()?.to_owned(), lines.next()?.to_owned());
        Some(Self { name, boot, numbers: lines.next()?.parse().ok()?, path: lines.next()?.into() })
    }

    /// Whether it is still as it was then.
    fn holds(&self, to: &Path) -> bool {
        let is_this_boot = || linux::proc::boot_id().is_ok_and(|boot| boot == self.boot);
        self.path == to && is_this_boot() && numbers(to) == Some(self.numbers)
    }
}

/// What is in the place of a pod's link.
enum There {
    Nothing,
    Link(PathBuf),
    File,
}

fn there(layout: &Layout, target: &Target) -> Result<There, DiskError> {
    target_below(layout, target)?;
    let Some(dir) = open(&layout.pods_dir(), &links(&target.pod, &target.plugin))? else {
        return Ok(There::Nothing);
    };
    let path = beneath::fd_path(&dir).join(&target.spec_name);
    let shown = || dir.path().join(&target.spec_name);
    match linux::fs::lstat(&path)? {
        None => Ok(There::Nothing),
        Some(meta) if meta.is_symlink() => {
            Ok(There::Link(fs::read_link(&path).map_err(PathError::on("read the link", &shown()))?))
        }
        Some(meta) if meta.is_dir() => Err(DiskError::NoLink { path: shown() }),
        Some(_) => Ok(There::File),
    }
}

/// What is there of `target`. It counts as mounted if it is whole.
pub(super) fn look(layout: &Layout, target: &Target) -> Result<Seen, DiskError> {
    let there = there(layout, target)?;
    let mut shown = TargetShown { directory: !matches!(there, There::Nothing), ..TargetShown::default() };
    let (mut device, mut name) = (None, None);
    if let Some(files) = open(&layout.pods_dir(), &files_below(target))? {
        if let Some(noted) = read_note(&files)? {
            (shown.noted, device) = (true, noted.device);
        }
        let mark = read(&files, MARK)?;
        shown.marked = mark.is_some();
        let mark = mark.and_then(|text| Mark::parse(&String::from_utf8_lossy(&text)));
        if let (Some(mark), There::Link(to)) = (mark, &there) {
            shown.mounted = mark.holds(to);
            name = Some(mark.name);
        }
    }
    if !shown.noted {
        device = device_of(layout, target)?;
    }
    let held = match &device {
        Some(device) => entry(layout, device, &target.pod)?.is_some(),
        None => false,
    };
    Ok(Seen { shown, device, name, point: None, held })
}

/// What another kubelet has at the device for the pod.
fn entry(layout: &Layout, device: &Device, pod: &PodUid) -> Result<Option<Metadata>, DiskError> {
    PodPaths::new(layout.root_dir(), pod)?;
    let Some(dir) = open(&layout.plugins_dir(), device.path())? else { return Ok(None) };
    Ok(linux::fs::lstat(&beneath::fd_path(&dir).join(pod.as_str()))?)
}

/// The device of a volume that another kubelet has made: where it holds for the pod what the pod's link leads to.
pub(super) fn device_of(layout: &Layout, target: &Target) -> Result<Option<Device>, DiskError> {
    if target.plugin == Plugin::Local {
        return Ok(Device::local(&target.spec_name, VolumeMode::Block));
    }
    let There::Link(to) = there(layout, target)? else { return Ok(None) };
    let mut held = Vec::new();
    for device in super::devices(layout)? {
        if device.mode() == VolumeMode::Block && device.plugin().as_ref() == Some(&target.plugin) {
            held.extend(entry(layout, &device, &target.pod)?.map(|meta| (device, meta.rdev())));
        }
    }
    match numbers(&to) {
        Some(numbers) => held.retain(|(_, of)| *of == numbers),
        // The disk is away. Of several it cannot be said which it was.
        None if held.len() > 1 => held.clear(),
        None => {}
    }
    Ok(held.pop().map(|(device, _)| device))
}

/// Whether another kubelet holds `device` for a pod that has a volume of this kind, but for the pod of `but_for`.
pub(super) fn is_held(layout: &Layout, device: &Device, but_for: Option<&Target>) -> Result<bool, DiskError> {
    let Some(plugin) = device.plugin() else { return Ok(false) };
    for name in entries(&layout.plugins_dir(), device.path())? {
        let pod = PodUid::from(name);
        let is_its = but_for.is_some_and(|target| target.pod == pod);
        if !is_its && !entries(&layout.pods_dir(), &links(&pod, &plugin))?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Has the pod's link lead to the disk `to`.
pub(crate) fn link(layout: &Layout, target: &Target, to: &Path) -> Result<(), DiskError> {
    let kind = linux::fs::FileKind::of(to)?;
    if kind != linux::fs::FileKind::BlockDevice {
        return Err(DiskError::NoDevice { path: to.to_owned(), found: kind });
    }
    if matches!(there(layout, target)?, There::Link(there) if there == to) {
        return Ok(());
    }
    unlink(layout, target)?;
    PodPaths::new(layout.root_dir(), &target.pod)?.create()?;
    let pods = Root::open(&layout.pods_dir())?;
    let links = links(&target.pod, &target.plugin);
    pods.create_dir_all(&links, DIR_MODE)?;
    let dir = pods.sub_unmounted(&links)?;
    let made = symlink(to, beneath::fd_path(&dir).join(&target.spec_name));
    Ok(made.map_err(PathError::on("link", &dir.path().join(&target.spec_name)))?)
}

/// Marks `target` as made whole, as [`super::mark`] does.
pub(crate) fn mark(layout: &Layout, target: &Target, name: &str) -> Result<(), DiskError> {
    let There::Link(path) = there(layout, target)? else { return Ok(()) };
    // Gone meanwhile: without a mark it is made again.
    let Some(numbers) = numbers(&path) else { return Ok(()) };
    let mark = Mark { name: name.to_owned(), boot: linux::proc::boot_id()?, numbers, path };
    write(layout, target, MARK, mark.text()?.as_bytes())
}

/// Removes the pod's link, which leads to what stays as it is. It may be gone already.
pub(super) fn unlink(layout: &Layout, target: &Target) -> Result<(), DiskError> {
    target_below(layout, target)?;
    let Some(dir) = open(&layout.pods_dir(), &links(&target.pod, &target.plugin))? else { return Ok(()) };
    match fs::remove_file(beneath::fd_path(&dir).join(&target.spec_name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => Ok(removed.map_err(PathError::on("remove", &dir.path().join(&target.spec_name)))?),
    }
}

/// Lets go of what another kubelet holds of `device` for the pod.
pub(crate) fn let_go(layout: &Layout, device: &Device, pod: &PodUid) -> Result<(), DiskError> {
    PodPaths::new(layout.root_dir(), pod)?;
    let Some(dir) = open(&layout.plugins_dir(), device.path())? else { return Ok(()) };
    Ok(held::let_go(&dir, pod.as_str())?)
}

/// Lets go of what another kubelet holds of `device` for pods that are gone.
pub(crate) fn let_go_of_all(layout: &Layout, device: &Device) -> Result<(), DiskError> {
    for name in entries(&layout.plugins_dir(), device.path())? {
        let pod = PodUid::from(name);
        let is_held = |meta: &Metadata| {
            let kind = meta.file_type();
            // What is mounted on is an empty file.
            kind.is_block_device() || kind.is_symlink() || kind.is_file() && meta.len() == 0
        };
        if entry(layout, device, &pod)?.as_ref().is_some_and(is_held) {
            let_go(layout, device, &pod)?;
        }
    }
    Ok(())
}

/// The names of the pod's links to disks of this kind, whatever is there.
pub(super) fn linked(layout: &Layout, pod: &PodUid, plugin: &Plugin) -> Result<Vec<String>, DiskError> {
    entries(&layout.pods_dir(), &links(pod, plugin))
}

/// The names in a directory, of whatever kind; none if it is not there.
fn entries(base: &Path, below: &Path) -> Result<Vec<String>, DiskError> {
    let Some(dir) = open(base, below)? else { return Ok(Vec::new()) };
    let failed = || PathError::on("list", dir.path());
    let mut names = Vec::new();
    for entry in fs::read_dir(beneath::fd_path(&dir)).map_err(failed())? {
        names.extend(entry.map_err(failed())?.file_name().into_string().ok().filter(|name| is_name(name)));
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests;
