//! The directories of volumes and devices: what is in them, making them, removing them. Nothing here follows a link below
//! the root directory, looks into what is mounted, unmounts anything, or removes anything but empty directories and its own
//! files.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use linux::PathError;
use linux::beneath::{self, BeneathError, Links, Root};
use linux::fs::FileKind;
use linux::mountinfo::MountTable;
use types::PodUid;
use volume::claim::VolumeMode;
use volume::paths::DIR_MODE;
use volume::{PodPaths, UnusableUid, selinux};

use crate::layout::{DEVICE_ROOTS, Device, Layout, Plugin, Target, is_name};
use crate::plan::{DeviceShown, TargetShown};
use crate::refs;

mod beside;
pub(crate) mod devices;

pub(crate) use beside::{count_of_disk, count_of_session, read_beside, remove_beside, write_beside};

/// The note: a line with the device that the volume is on, if it is on one, one with the name by which the control plane
/// knows it, if it does, and one with the SELinux label that the device is mounted with, if it is mounted with one.
const NOTE: &str = "volume";
/// The mark of what was made whole: how the pod calls the volume.
const MARK: &str = "ready";
const FILE_MODE: u32 = 0o600;
/// The largest note or mark that is read, in bytes.
const LIMIT: u64 = 4096;

/// The directory of a volume or a device is in a bad state.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A path below the root directory.
    #[error(transparent)]
    Beneath(#[from] BeneathError),
    /// A path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The pod's UID.
    #[error(transparent)]
    Uid(#[from] UnusableUid),
    /// A name that cannot be that of a directory.
    #[error("{0:?} cannot be the name of a directory: correct the name of the volume or of its driver")]
    Name(String),
    /// Something that is no directory is where one is to be.
    #[error("{} is no directory: remove what is there", path.display())]
    NoDirectory {
        /// Where.
        path: PathBuf,
    },
    /// Something that is no link is where one is to be.
    #[error("{} is no link to a disk: remove what is there", path.display())]
    NoLink {
        /// Where.
        path: PathBuf,
    },
    /// A pod is to get as a device what is none.
    #[error(
        "{} is {}, and a volume with volumeMode Block has to be a block device: correct the PersistentVolume",
        path.display(),
        found.as_str()
    )]
    NoDevice {
        /// Where.
        path: PathBuf,
        /// What is there.
        found: FileKind,
    },
    /// Something is mounted where a directory is to be removed.
    #[error("something is mounted at {}, and it is kept: find out whose it is and unmount it", path.display())]
    StillMounted {
        /// Where.
        path: PathBuf,
    },
    /// A note says nothing useful.
    #[error("{} names no device ({text:?}): find out what is mounted for its pod, unmount it, and remove the file", path.display())]
    Note {
        /// The note.
        path: PathBuf,
        /// What it says.
        text: String,
    },
}

/// What is there of a volume of a pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) shown: TargetShown,
    /// The device that its note names. For what is a device without a note: the one that it is on as far as can be seen.
    pub(crate) device: Option<Device>,
    /// How its pod calls it, by the mark.
    pub(crate) name: Option<String>,
    /// Where it is, as the mount table has it. None if not even the directory above is there.
    pub(crate) point: Option<PathBuf>,
    /// Whether another kubelet holds the device for the pod.
    pub(crate) held: bool,
}

/// Opens the directory `below` in `base`; `None` if it is not there.
fn open(base: &Path, below: &Path) -> Result<Option<Root>, DiskError> {
    let opened = Root::open(base).and_then(|base| base.sub(below, Links::Refuse));
    match opened {
        Err(error) if error.is_not_found() => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

/// Where the open directory `dir` is, as the mount table has it.
fn real(dir: &Root) -> Result<PathBuf, DiskError> {
    let found = std::fs::read_link(beneath::fd_path(dir));
    Ok(found.map_err(PathError::on("find", dir.path()))?)
}

/// The directory above a mount point that may hang when it is touched, and its name in there.
pub(crate) struct Above {
    pub(crate) dir: Root,
    pub(crate) name: PathBuf,
    /// The mount point, as the mount table has it.
    pub(crate) point: PathBuf,
}

impl Above {
    fn open(base: &Path, below: &Path) -> Result<Option<Self>, DiskError> {
        let (Some(parent), Some(name)) = (below.parent(), below.file_name()) else { return Ok(None) };
        let Some(dir) = open(base, parent)? else { return Ok(None) };
        let point = real(&dir)?.join(name);
        Ok(Some(Self { dir, name: name.into(), point }))
    }

    /// Above where `target` is shown; none if its directory is not there.
    pub(crate) fn target(layout: &Layout, target: &Target) -> Result<Option<Self>, DiskError> {
        Self::open(&layout.pods_dir(), &target_below(layout, target)?)
    }

    /// Above where `device` is mounted.
    pub(crate) fn device(layout: &Layout, device: &Device) -> Result<Option<Self>, DiskError> {
        Self::open(&layout.plugins_dir(), device.path())
    }

    /// A path that leads there as long as this is there, whatever happens to the names on the way.
    pub(crate) fn path(&self) -> PathBuf {
        beneath::fd_path(&self.dir).join(&self.name)
    }

    /// Whether there is a directory. Something mounted is not touched.
    fn has_directory(&self, mounts: &MountTable) -> Result<bool, DiskError> {
        if mounts.is_mount_point(&self.point) {
            return Ok(true);
        }
        match linux::fs::lstat(&self.path())? {
            Some(meta) if !meta.is_dir() => Err(DiskError::NoDirectory { path: self.point.clone() }),
            meta => Ok(meta.is_some()),
        }
    }

    /// Removes the directory, which has to be empty; it may be gone already.
    fn remove(&self) -> Result<(), DiskError> {
        match std::fs::remove_dir(self.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                Err(DiskError::StillMounted { path: self.point.clone() })
            }
            removed => {
                Ok(removed.map_err(PathError::on("remove the directory (it must be empty)", &self.point))?)
            }
        }
    }
}

/// From the directory of pods to where `target` is shown.
fn target_below(layout: &Layout, target: &Target) -> Result<PathBuf, DiskError> {
    let plugin = target.plugin.dir();
    for name in [&plugin, &target.spec_name] {
        if !is_name(name) {
            return Err(DiskError::Name(name.clone()));
        }
    }
    PodPaths::new(layout.root_dir(), &target.pod)?;
    let part = match target.mode {
        VolumeMode::Filesystem => "volumes",
        VolumeMode::Block => "volumeDevices",
    };
    Ok([target.pod.as_str(), part, &plugin, &target.spec_name].iter().collect())
}

/// From the directory of pods to the files about `target`.
fn files_below(target: &Target) -> PathBuf {
    let dir = target.plugin.files_dir(target.mode);
    [target.pod.as_str(), "plugins", &dir, &target.spec_name].iter().collect()
}

fn read(dir: &Root, name: &str) -> Result<Option<Vec<u8>>, DiskError> {
    match dir.read(Path::new(name), Links::Refuse, LIMIT) {
        Err(error) if error.is_not_found() => Ok(None),
        text => Ok(Some(text?)),
    }
}

/// What a note says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Note {
    pub(crate) device: Option<Device>,
    pub(crate) unique_name: Option<String>,
    pub(crate) label: Option<String>,
}

/// The note in `dir`; `None` if there is none.
fn read_note(dir: &Root) -> Result<Option<Note>, DiskError> {
    let Some(text) = read(dir, NOTE)? else { return Ok(None) };
    let mut lines = text.split(|byte| *byte == b'\n');
    let device = lines.next().unwrap_or_default();
    let mut text_of_line = || {
        let line = lines.next().filter(|line| !line.is_empty())?;
        Some(String::from_utf8_lossy(line).into_owned())
    };
    let (unique_name, label) = (text_of_line(), text_of_line());
    if device.is_empty() {
        return Ok(Some(Note { device: None, unique_name, label }));
    }
    let device = Device::parse(Path::new(std::ffi::OsStr::from_bytes(device)));
    let strange =
        || DiskError::Note { path: dir.path().join(NOTE), text: String::from_utf8_lossy(&text).into_owned() };
    Ok(Some(Note { device: Some(device.ok_or_else(strange)?), unique_name, label }))
}

/// What is there of `target`.
pub(crate) fn look_target(layout: &Layout, target: &Target, mounts: &MountTable) -> Result<Seen, DiskError> {
    if target.mode == VolumeMode::Block {
        return devices::look(layout, target);
    }
    let mut shown = TargetShown::default();
    let mut point = None;
    if let Some(above) = Above::target(layout, target)? {
        shown.directory = above.has_directory(mounts)?;
        shown.mounted = mounts.is_mount_point(&above.point);
        point = Some(above.point);
    }
    let (mut device, mut name) = (None, None);
    if let Some(files) = open(&layout.pods_dir(), &files_below(target))? {
        if let Some(noted) = read_note(&files)? {
            (shown.noted, device) = (true, noted.device);
        }
        name = read(&files, MARK)?.map(|name| String::from_utf8_lossy(&name).into_owned());
        shown.marked = name.is_some();
    }
    Ok(Seen { shown, device, name, point, held: false })
}

/// What is there of `device`. The pod of `but_for` does not count as somebody who has it.
pub(crate) fn look_device(
    layout: &Layout,
    device: &Device,
    mounts: &MountTable,
    but_for: Option<&Target>,
) -> Result<DeviceShown, DiskError> {
    let Some(above) = Above::device(layout, device)? else { return Ok(DeviceShown::default()) };
    // The directory may be seen at several places, if the root directory is: these come and go together.
    let itself = Path::new("plugins").join(device.path());
    let elsewhere =
        refs::of_mount(mounts, &above.point).into_iter().any(|mount| !mount.point.ends_with(&itself));
    let held = device.mode() == VolumeMode::Block && devices::is_held(layout, device, but_for)?;
    let used = elsewhere || held || is_noted(layout, device, but_for)?;
    Ok(DeviceShown {
        busy: false,
        directory: above.has_directory(mounts)?,
        mounted: mounts.is_mount_point(&above.point),
        used,
    })
}

/// The device that is mounted where `target` is shown, or that its link leads to; none if its file system is mounted for no
/// device.
pub(crate) fn device_of(
    layout: &Layout,
    target: &Target,
    mounts: &MountTable,
) -> Result<Option<Device>, DiskError> {
    if target.mode == VolumeMode::Block {
        return devices::device_of(layout, target);
    }
    let Some(above) = Above::target(layout, target)? else { return Ok(None) };
    let others = refs::of_mount(mounts, &above.point);
    if others.is_empty() {
        return Ok(None);
    }
    let Some(plugins) = open(layout.root_dir(), Path::new("plugins"))? else { return Ok(None) };
    let plugins = real(&plugins)?;
    let device = others.into_iter().find_map(|mount| {
        let below = mount.point.strip_prefix(&plugins).ok()?;
        Device::parse(below).filter(|device| device.plugin().as_ref() == Some(&target.plugin))
    });
    Ok(device)
}

/// Whether the note of any volume, but for `but_for`, names `device`.
pub(crate) fn is_noted(
    layout: &Layout,
    device: &Device,
    but_for: Option<&Target>,
) -> Result<bool, DiskError> {
    Ok(other_note(layout, device, but_for)?.is_some())
}

/// The SELinux label that `device` is mounted with, by the note of any volume but for `but_for`; if there is none, by the
/// mount table, which need not have it in the same words.
pub(crate) fn label_of_device(
    layout: &Layout,
    device: &Device,
    mounts: &MountTable,
    but_for: &Target,
) -> Result<Option<String>, DiskError> {
    if let Some(note) = other_note(layout, device, Some(but_for))? {
        return Ok(note.label);
    }
    let point = Above::device(layout, device)?.map(|above| above.point);
    Ok(point.and_then(|point| mounted_label(mounts, &point)))
}

/// The SELinux label that the file system at `point` is mounted with, if it is mounted with one.
pub(crate) fn mounted_label(mounts: &MountTable, point: &Path) -> Option<String> {
    let options = mounts.at(point)?.super_options.to_string_lossy();
    selinux::mounted_label(&options).map(str::to_owned)
}

/// The note of any volume, but for `but_for`, that names `device`.
fn other_note(layout: &Layout, device: &Device, but_for: Option<&Target>) -> Result<Option<Note>, DiskError> {
    let Some(plugin) = device.plugin() else { return Ok(None) };
    let mode = device.mode();
    let dir = plugin.files_dir(mode);
    for pod in names(&layout.pods_dir(), Path::new("."))? {
        for spec_name in names(&layout.pods_dir(), &[&pod, "plugins", &dir].iter().collect::<PathBuf>())? {
            let target = Target { pod: PodUid::from(pod.clone()), plugin: plugin.clone(), mode, spec_name };
            if but_for == Some(&target) {
                continue;
            }
            let Some(files) = open(&layout.pods_dir(), &files_below(&target))? else { continue };
            if let Some(note) = read_note(&files)?.filter(|note| note.device.as_ref() == Some(device)) {
                return Ok(Some(note));
            }
        }
    }
    Ok(None)
}

fn write(layout: &Layout, target: &Target, name: &str, text: &[u8]) -> Result<(), DiskError> {
    target_below(layout, target)?;
    PodPaths::new(layout.root_dir(), &target.pod)?.create()?;
    let pods = Root::open(&layout.pods_dir())?;
    let below = files_below(target);
    pods.create_dir_all(&below, DIR_MODE)?;
    let dir = pods.sub(&below, Links::Refuse)?;
    let written = task::file::write_atomic(&beneath::fd_path(&dir).join(name), text, FILE_MODE);
    Ok(written.map_err(PathError::on("write", &dir.path().join(name)))?)
}

/// Notes that the pod has `target`.
pub(crate) fn note(layout: &Layout, target: &Target, note: &Note) -> Result<(), DiskError> {
    let device = note.device.as_ref().map(|device| device.path().as_os_str().as_bytes());
    let name = note.unique_name.as_deref().unwrap_or_default();
    let mut text = [device.unwrap_or_default(), name.as_bytes()].join(&b'\n');
    if let Some(label) = &note.label {
        text.push(b'\n');
        text.extend(label.as_bytes());
    }
    write(layout, target, NOTE, &text)
}

/// What is here of volumes that the control plane attaches.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Here {
    /// The names by which it knows those that pods have or may have.
    pub names: BTreeSet<String>,
    /// Whether there are more, and nothing says which: another kubelet has left them.
    pub has_unknown: bool,
}

/// What is here of volumes that the control plane attaches, by the notes of all pods.
pub(crate) fn here(layout: &Layout) -> Result<Here, DiskError> {
    let mut here = Here::default();
    let mut noted = BTreeSet::new();
    for pod in names(&layout.pods_dir(), Path::new("."))? {
        for target in targets_of(layout, &PodUid::from(pod))? {
            let note = match open(&layout.pods_dir(), &files_below(&target))? {
                Some(files) => read_note(&files)?,
                None => None,
            };
            let is_attached = matches!(target.plugin, Plugin::Iscsi | Plugin::Fc);
            here.has_unknown |= match (&note, &target.plugin) {
                (Some(note), _) if note.unique_name.is_some() => false,
                // Not every driver attaches.
                (Some(_), Plugin::Flex(_)) => false,
                (None, Plugin::Flex(_)) => true,
                _ => is_attached,
            };
            let note = note.unwrap_or_default();
            here.names.extend(note.unique_name);
            noted.extend(note.device);
        }
    }
    let is_left = |device: &Device| device.plugin() != Some(Plugin::Local) && !noted.contains(device);
    here.has_unknown |= devices(layout)?.iter().any(is_left);
    Ok(here)
}

/// Marks `target` as made whole. The mark says how the pod calls the volume, so that a restart of berth finds it without
/// asking anybody.
pub(crate) fn mark(layout: &Layout, target: &Target, name: &str) -> Result<(), DiskError> {
    write(layout, target, MARK, name.as_bytes())
}

/// Takes the mark of `target` away. It may be gone already.
pub(crate) fn unmark(layout: &Layout, target: &Target) -> Result<(), DiskError> {
    let Some(files) = open(&layout.pods_dir(), &files_below(target))? else { return Ok(()) };
    match std::fs::remove_file(beneath::fd_path(&files).join(MARK)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PathError::on("remove", &files.path().join(MARK))(error).into())
        }
        _ => Ok(()),
    }
}

/// Removes the note of `target`, with the mark if there is one. It may be gone already.
pub(crate) fn forget(layout: &Layout, target: &Target) -> Result<(), DiskError> {
    let dir = target.plugin.files_dir(target.mode);
    let below = Path::new(target.pod.as_str()).join("plugins").join(dir);
    let Some(dir) = open(&layout.pods_dir(), &below)? else { return Ok(()) };
    Ok(dir.remove_tree(Path::new(&target.spec_name))?)
}

/// Makes the directory in which `target` is shown.
pub(crate) fn make_target(layout: &Layout, target: &Target) -> Result<(), DiskError> {
    let below = target_below(layout, target)?;
    PodPaths::new(layout.root_dir(), &target.pod)?.create()?;
    Root::open(&layout.pods_dir())?.create_dir_all(&below, DIR_MODE)?;
    Ok(())
}

/// Removes the directory in which `target` was shown, or its link.
pub(crate) fn remove_target(layout: &Layout, target: &Target) -> Result<(), DiskError> {
    if target.mode == VolumeMode::Block {
        return devices::unlink(layout, target);
    }
    Above::target(layout, target)?.map_or(Ok(()), |above| above.remove())
}

/// Makes the directory on which `device` is mounted, or that says that it is attached.
pub(crate) fn make_device(layout: &Layout, device: &Device) -> Result<(), DiskError> {
    let plugins = layout.plugins_dir();
    linux::fs::create_dir_all(&plugins, DIR_MODE)?;
    Root::open(&plugins)?.create_dir_all(device.path(), DIR_MODE)?;
    Ok(())
}

/// Whether there is a directory of `device`, mounted or not.
pub(crate) fn has_device(layout: &Layout, device: &Device) -> Result<bool, DiskError> {
    let Some(above) = Above::device(layout, device)? else { return Ok(false) };
    above.has_directory(&MountTable::read()?)
}

/// Removes the directory on which `device` was mounted.
pub(crate) fn remove_device(layout: &Layout, device: &Device) -> Result<(), DiskError> {
    Above::device(layout, device)?.map_or(Ok(()), |above| above.remove())
}

/// The names in a directory that are directories; none if it is not there. What is mounted on them is not touched.
fn names(base: &Path, below: &Path) -> Result<Vec<String>, DiskError> {
    let Some(dir) = open(base, below)? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    let failed = || PathError::on("list", dir.path());
    for entry in std::fs::read_dir(beneath::fd_path(&dir)).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        names.extend(entry.file_name().into_string().ok().filter(|name| is_dir && is_name(name)));
    }
    names.sort_unstable();
    Ok(names)
}

/// All volumes of the pod that are or may be there, or were and have a note.
pub(crate) fn targets_of(layout: &Layout, pod: &PodUid) -> Result<Vec<Target>, DiskError> {
    PodPaths::new(layout.root_dir(), pod)?;
    let pods = layout.pods_dir();
    let mut all = Vec::new();
    for part in ["volumes", "plugins"] {
        for dir in names(&pods, &Path::new(pod.as_str()).join(part))? {
            let found = match part {
                "plugins" => Plugin::of_files_dir(&dir),
                _ => Plugin::of_dir(&dir).map(|plugin| (plugin, VolumeMode::Filesystem)),
            };
            let Some((plugin, mode)) = found else { continue };
            for spec_name in names(&pods, &[pod.as_str(), part, &dir].iter().collect::<PathBuf>())? {
                all.push(Target { pod: pod.clone(), plugin: plugin.clone(), mode, spec_name });
            }
        }
    }
    for dir in names(&pods, &Path::new(pod.as_str()).join("volumeDevices"))? {
        let Some(plugin) = Plugin::of_dir(&dir).filter(Plugin::has_devices) else { continue };
        let target = |spec_name| Target {
            pod: pod.clone(),
            plugin: plugin.clone(),
            mode: VolumeMode::Block,
            spec_name,
        };
        all.extend(devices::linked(layout, pod, &plugin)?.into_iter().map(target));
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// The directory of pods, as the mount table has it.
pub(crate) fn real_pods_dir(layout: &Layout) -> Result<PathBuf, DiskError> {
    real(&Root::open(&layout.pods_dir())?)
}

/// All devices that have a directory.
pub(crate) fn devices(layout: &Layout) -> Result<Vec<Device>, DiskError> {
    fn walk(base: &Path, below: &Path, depth: usize, all: &mut Vec<Device>) -> Result<(), DiskError> {
        for name in names(base, below)? {
            let path = below.join(name);
            match Device::parse(&path) {
                Some(device) => all.push(device),
                None if depth > 1 => walk(base, &path, depth - 1, all)?,
                None => {}
            }
        }
        Ok(())
    }
    let mut all = Vec::new();
    for (root, depth) in DEVICE_ROOTS {
        walk(&layout.plugins_dir(), Path::new(root), depth, &mut all)?;
    }
    Ok(all)
}
