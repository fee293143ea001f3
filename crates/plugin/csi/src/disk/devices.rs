//! The files of volumes that pods get as devices. A kubelet has one note for each of them, below
//! `plugins/kubernetes.io/csi/volumeDevices`; what is published to a pod is a file there, and a link in the pod's directory
//! leads to it. The link comes before the driver is asked, and goes after it: by it the pod's end finds the device.

use std::fs::{self, FileType};
use std::io;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::{Path, PathBuf};

use linux::PathError;
use linux::beneath::{self, BeneathError, Links, Root};
use linux::mountinfo::MountTable;
use types::PodUid;
use volume::PodPaths;
use volume::claim::VolumeMode;
use volume::held;
use volume::paths::DIR_MODE;

use super::{DiskError, Seen, Whose, open, remove_dir};
use crate::layout::{DEVICES, Layout, PLUGIN, Site, is_name};
use crate::note::{Note, NoteError};
use crate::place::Shown;
use crate::plan::Target;

/// Directories beside those that are called like a PersistentVolume.
const STAGING: &str = "staging";
const PUBLISH: &str = "publish";

/// Where a volume is whose PersistentVolume is `pv`.
struct Device<'a> {
    plugins: PathBuf,
    pods: PathBuf,
    pv: &'a str,
}

impl<'a> Device<'a> {
    fn new(layout: &Layout, pv: &'a str) -> Result<Self, DiskError> {
        if !is_name(pv) || [STAGING, PUBLISH].contains(&pv) {
            return Err(DiskError::Name(pv.to_owned()));
        }
        Ok(Self { plugins: layout.root_dir().join("plugins"), pods: layout.pods_dir(), pv })
    }

    fn own(&self) -> PathBuf {
        below().join(self.pv)
    }

    fn staging(&self) -> PathBuf {
        below().join(STAGING).join(self.pv)
    }

    fn published(&self) -> PathBuf {
        below().join(PUBLISH).join(self.pv)
    }

    fn whose(&self) -> Result<Whose, DiskError> {
        let Some(dir) = open(&self.plugins, &self.own().join("data"))? else { return Ok(Whose::Nobody) };
        match Note::read(&dir) {
            Ok(Some(note)) => Ok(Whose::Of(note.volume().clone())),
            Ok(None) | Err(NoteError::Content { .. }) => Ok(Whose::Nobody),
            Err(NoteError::Beneath(error)) if error.is_of_another_kind() => Ok(Whose::Nobody),
            Err(error) => Err(error.into()),
        }
    }

    fn write_note(&self, note: &Note) -> Result<Root, DiskError> {
        linux::fs::create_dir_all(&self.plugins, DIR_MODE)?;
        let plugins = Root::open(&self.plugins)?;
        let data = self.own().join("data");
        plugins.create_dir_all(&data, DIR_MODE)?;
        note.write(&plugins.sub_unmounted(&data)?)?;
        Ok(plugins)
    }

    /// The pod's link, as its directory and name.
    fn links(pod: &PodUid) -> PathBuf {
        Path::new(pod.as_str()).join("volumeDevices").join(PLUGIN)
    }

    /// What is published to the pod: its directory, if that is there, and of what type it is, if it is there.
    fn file(&self, pod: &PodUid) -> Result<Option<(Root, Option<FileType>)>, DiskError> {
        let Some(dir) = open(&self.plugins, &self.published())? else { return Ok(None) };
        let there = linux::fs::lstat(&beneath::fd_path(&dir).join(pod.as_str()))?;
        Ok(Some((dir, there.map(|meta| meta.file_type()))))
    }
}

/// The directory of all devices, below that of plugins.
fn below() -> PathBuf {
    Path::new("kubernetes.io/csi").join(DEVICES)
}

/// Where an open directory is, as the mount table has it.
fn real(dir: &Root) -> Result<PathBuf, DiskError> {
    Ok(fs::read_link(beneath::fd_path(dir)).map_err(PathError::on("find", dir.path()))?)
}

/// What is there where the volume is staged. Not every driver mounts something.
pub(super) fn look_staged(
    layout: &Layout,
    site: &Site,
    pv: &str,
    mounts: &MountTable,
) -> Result<Shown, DiskError> {
    let device = Device::new(layout, pv)?;
    let whose = device.whose()?;
    if let Whose::Of(other) = &whose
        && *other != site.volume
    {
        let path = layout.root_dir().join("plugins").join(device.own());
        return Err(DiskError::Another { path, other: other.clone() });
    }
    let (staging, mounted) = match open(&device.plugins, &device.staging()) {
        Ok(None) => (false, false),
        Ok(Some(dir)) => (true, !mounts.below(&real(&dir)?).is_empty()),
        Err(DiskError::Beneath(BeneathError::MountPoint { .. })) => (true, true),
        Err(error) => return Err(error),
    };
    let directory = staging || open(&device.plugins, &device.own())?.is_some();
    Ok(Shown { directory, note: whose != Whose::Nobody, mounted, mark: false })
}

/// What is published to a pod, and whose it is. The mark is not looked at.
pub(super) fn look_published(
    layout: &Layout,
    target: &Target,
    mounts: &MountTable,
) -> Result<Seen, DiskError> {
    let device = Device::new(layout, &target.spec_name)?;
    let linked = match open(&device.pods, &Device::links(&target.pod))? {
        Some(dir) => linux::fs::lstat(&beneath::fd_path(&dir).join(device.pv))?.is_some(),
        None => false,
    };
    let (is_there, mounted) = match device.file(&target.pod)? {
        Some((dir, Some(kind))) => {
            let is_point = mounts.is_mount_point(&real(&dir)?.join(target.pod.as_str()));
            (true, is_point || kind.is_block_device())
        }
        _ => (false, false),
    };
    if !linked && !is_there {
        return Ok(Seen { shown: Shown::default(), whose: Whose::Nobody });
    }
    let whose = device.whose()?;
    let shown = Shown { directory: true, note: whose != Whose::Nobody, mounted, mark: false };
    Ok(Seen { shown, whose })
}

/// Makes the directory in which the driver stages, with its note.
pub(super) fn prepare_staging(layout: &Layout, pv: &str, note: &Note) -> Result<(), DiskError> {
    let device = Device::new(layout, pv)?;
    device.write_note(note)?.create_dir_all(&device.staging(), DIR_MODE)?;
    Ok(())
}

/// Makes the directory in which the driver makes what the pod gets, with its note, and the pod's link to that.
pub(super) fn prepare_target(layout: &Layout, target: &Target, note: &Note) -> Result<(), DiskError> {
    let device = Device::new(layout, &target.spec_name)?;
    device.write_note(note)?.create_dir_all(&device.published(), DIR_MODE)?;
    PodPaths::new(layout.root_dir(), &target.pod)?.create()?;
    let pods = Root::open(&device.pods)?;
    let links = Device::links(&target.pod);
    pods.create_dir_all(&links, DIR_MODE)?;
    let dir = pods.sub_unmounted(&links)?;
    let link = beneath::fd_path(&dir).join(device.pv);
    let to = layout.device_path(&target.spec_name, &target.pod);
    let shown = dir.path().join(device.pv);
    match symlink(&to, &link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::read_link(&link).is_ok_and(|there| there == to) {
                return Ok(());
            }
            // It led elsewhere. A directory is not removed so.
            fs::remove_file(&link).map_err(PathError::on("remove the link", &shown))?;
            Ok(symlink(&to, &link).map_err(PathError::on("link", &shown))?)
        }
        made => Ok(made.map_err(PathError::on("link", &shown))?),
    }
}

/// Lets go of what another kubelet holds of a device before its driver takes it away: a loop device on it, and the mount that
/// this is on. berth makes neither.
pub(super) fn let_go(layout: &Layout, target: &Target) -> Result<(), DiskError> {
    let device = Device::new(layout, &target.spec_name)?;
    let Some(dir) = open(&device.plugins, &device.own().join("dev"))? else { return Ok(()) };
    Ok(held::let_go(&dir, target.pod.as_str())?)
}

/// Removes what the driver left of what the pod had, and the pod's link. Nothing that is mounted.
pub(super) fn forget_target(layout: &Layout, target: &Target, mounts: &MountTable) -> Result<(), DiskError> {
    let device = Device::new(layout, &target.spec_name)?;
    if let Some((dir, Some(kind))) = device.file(&target.pod)? {
        let path = real(&dir)?.join(target.pod.as_str());
        if mounts.is_mount_point(&path) {
            return Err(DiskError::StillMounted { path });
        }
        match kind.is_dir() {
            true => remove_dir(&dir, Path::new(target.pod.as_str()))?,
            false => remove_file(&dir, target.pod.as_str())?,
        }
    }
    match open(&device.pods, &Device::links(&target.pod))? {
        Some(dir) => remove_file(&dir, device.pv),
        None => Ok(()),
    }
}

/// Removes the directories and the note of a volume that is staged no more and published to nobody.
pub(super) fn forget_staging(layout: &Layout, pv: &str, mounts: &MountTable) -> Result<(), DiskError> {
    let device = Device::new(layout, pv)?;
    let plugins = match Root::open(&device.plugins) {
        Err(error) if error.is_not_found() => return Ok(()),
        opened => opened?,
    };
    if let Some(dir) = open(&device.plugins, &device.staging())? {
        let path = real(&dir)?;
        if let Some(mounted) = mounts.below(&path).first() {
            return Err(DiskError::StillMounted { path: mounted.point.clone() });
        }
    }
    remove(&plugins, &device.staging())?;
    remove(&plugins, &device.published())?;
    remove(&plugins, &device.own().join("dev"))?;
    if let Some(data) = open(&device.plugins, &device.own().join("data"))? {
        Note::remove(&data).map_err(PathError::on("remove the note in", data.path()))?;
    }
    remove(&plugins, &device.own().join("data"))?;
    remove(&plugins, &device.own())
}

/// Removes the directory `path` below `root`, which must be empty if it is there.
fn remove(root: &Root, path: &Path) -> Result<(), DiskError> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    match root.sub(parent, Links::Refuse) {
        Err(error) if error.is_not_found() => Ok(()),
        parent => remove_dir(&parent?, Path::new(name)),
    }
}

fn remove_file(dir: &Root, name: &str) -> Result<(), DiskError> {
    match fs::remove_file(beneath::fd_path(dir).join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => Ok(removed.map_err(PathError::on("remove", &dir.path().join(name)))?),
    }
}

/// All devices that are or may be published to the pod: those that it has a link to, and those that are there for it.
pub(super) fn targets_of(layout: &Layout, pod: &PodUid) -> Result<Vec<Target>, DiskError> {
    let plugins = layout.root_dir().join("plugins");
    let mut names = entries(&layout.pods_dir(), &Device::links(pod))?;
    for pv in super::names(&plugins, &below().join(PUBLISH))? {
        if entries(&plugins, &below().join(PUBLISH).join(&pv))?.iter().any(|name| name == pod.as_str()) {
            names.push(pv);
        }
    }
    names.sort_unstable();
    names.dedup();
    let target = |spec_name| Target { pod: pod.clone(), mode: VolumeMode::Block, spec_name };
    Ok(names.into_iter().map(target).collect())
}

/// The volumes that are or may be staged as devices, by their notes.
pub(super) fn staged(layout: &Layout) -> Result<Vec<Site>, DiskError> {
    let plugins = layout.root_dir().join("plugins");
    let mut all = Vec::new();
    for pv in super::names(&plugins, &below())? {
        let Ok(device) = Device::new(layout, &pv) else { continue };
        if let Whose::Of(volume) = device.whose()? {
            all.push(Site { volume, device: Some(pv) });
        }
    }
    Ok(all)
}

/// The names in a directory, of whatever kind; none if it is not there.
fn entries(base: &Path, below: &Path) -> Result<Vec<String>, DiskError> {
    let Some(dir) = open(base, below)? else { return Ok(Vec::new()) };
    let path = base.join(below);
    let failed = || PathError::on("list", &path);
    let listed = fs::read_dir(beneath::fd_path(&dir)).map_err(failed())?;
    let mut names = Vec::new();
    for entry in listed {
        names.extend(entry.map_err(failed())?.file_name().into_string().ok().filter(|name| is_name(name)));
    }
    Ok(names)
}

#[cfg(test)]
mod tests;
