//! The directories of volumes: what is in them, making them, removing them. Nothing here follows a link below the root
//! directory, unmounts anything, or removes anything but empty directories and notes.

mod devices;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use linux::PathError;
use linux::beneath::{self, BeneathError, Links, Root};
use linux::mountinfo::MountTable;
use types::PodUid;
use volume::claim::VolumeMode;
use volume::paths::DIR_MODE;
use volume::{PodPaths, UnusableUid};

use crate::layout::{DEVICES, Layout, PLUGIN, Site, VolumeId, is_hash, is_name, published_in, staged_in};
use crate::note::{Note, NoteError};
use crate::place::{Known, Place, Shown};
use crate::plan::Target;

/// The mark of what was made whole.
const MARK: &str = "ready";
const MARK_MODE: u32 = 0o600;
/// Beside the mark, for a restart of berth: the group that all processes of the pod are in because of the volume.
const GID: &str = "gid";
/// The largest mark that is read, in bytes.
const MARK_LIMIT: u64 = 4096;
/// How often a directory is made again that was taken for what a crash left.
const TRIES: usize = 3;

/// The directory of a volume is in a bad state.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A path below the root directory.
    #[error(transparent)]
    Beneath(#[from] BeneathError),
    /// A path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The pod's UID.
    #[error(transparent)]
    Uid(#[from] UnusableUid),
    /// A name that cannot be that of a directory.
    #[error("{0:?} cannot be the name of a directory: correct the name of the volume or of its driver")]
    Name(String),
    /// Something is mounted where a directory is to be removed.
    #[error("something is mounted at {}, and it is kept: find out whose it is and unmount it", path.display())]
    StillMounted {
        /// Where.
        path: PathBuf,
    },
    /// The directory is another volume's.
    #[error("{} belongs to volume {other}: it has to be taken down first", path.display())]
    Another {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        other: VolumeId,
    },
}

/// Whose a directory is, by its note.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Whose {
    /// Nothing says it.
    Nobody,
    /// A volume's.
    Of(VolumeId),
}

/// What is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) shown: Shown,
    pub(crate) whose: Whose,
}

impl Whose {
    pub(crate) fn volume(self) -> Option<VolumeId> {
        match self {
            Self::Nobody => None,
            Self::Of(volume) => Some(volume),
        }
    }
}

/// The directory of one place: below a base that is trusted, no link is followed.
pub(crate) struct Spot {
    base: PathBuf,
    /// From the base to the directory.
    below: PathBuf,
    /// What is mounted on, in the directory.
    child: PathBuf,
}

impl Spot {
    fn staged(layout: &Layout, volume: &VolumeId) -> Result<Self, DiskError> {
        if !is_name(&volume.driver) {
            return Err(DiskError::Name(volume.driver.clone()));
        }
        Ok(Self::at(layout.root_dir().join("plugins"), &layout.staging_dir(volume), staged_in))
    }

    pub(crate) fn published(layout: &Layout, target: &Target) -> Result<Self, DiskError> {
        if !is_name(&target.spec_name) {
            return Err(DiskError::Name(target.spec_name.clone()));
        }
        let dir = layout.publish_dir(&target.pod, &target.spec_name)?;
        Ok(Self::at(layout.pods_dir(), &dir, published_in))
    }

    pub(crate) fn at(base: PathBuf, dir: &Path, child: fn(&Path) -> PathBuf) -> Self {
        let below = dir.strip_prefix(&base).unwrap_or(dir).to_owned();
        Self { base, below, child: child(Path::new("")) }
    }

    pub(crate) fn open(&self) -> Result<Option<Root>, DiskError> {
        open(&self.base, &self.below)
    }

    /// Where the child is, as the mount table has it.
    fn real_child(&self, dir: &Root) -> Result<PathBuf, DiskError> {
        let fd = beneath::fd_path(dir);
        let real = std::fs::read_link(&fd).map_err(PathError::on("find", &self.base.join(&self.below)))?;
        Ok(real.join(&self.child))
    }

    /// Whether something is where is mounted on.
    pub(crate) fn has_child(&self) -> Result<bool, DiskError> {
        let Some(dir) = self.open()? else { return Ok(false) };
        Ok(linux::fs::lstat(&beneath::fd_path(&dir).join(&self.child))?.is_some())
    }

    pub(crate) fn look(&self, mounts: &MountTable) -> Result<Seen, DiskError> {
        let dir = match self.open() {
            Ok(Some(dir)) => dir,
            Ok(None) => return Ok(Seen { shown: Shown::default(), whose: Whose::Nobody }),
            // It hides what may be below.
            Err(DiskError::Beneath(BeneathError::MountPoint { .. })) => {
                let shown = Shown { directory: true, mounted: true, ..Shown::default() };
                return Ok(Seen { shown, whose: Whose::Nobody });
            }
            Err(error) => return Err(error),
        };
        let whose = match Note::read(&dir) {
            Ok(Some(note)) => Whose::Of(note.volume().clone()),
            // What it says cannot be known; it counts as none, and never as nothing being there.
            Ok(None) | Err(NoteError::Content { .. }) => Whose::Nobody,
            Err(NoteError::Beneath(error)) if error.is_of_another_kind() => Whose::Nobody,
            Err(error) => return Err(error.into()),
        };
        let mounted = mounts.is_mount_point(&self.real_child(&dir)?);
        let shown = Shown { directory: true, note: whose != Whose::Nobody, mounted, mark: false };
        Ok(Seen { shown, whose })
    }

    fn prepare(&self, note: &Note, with_child: bool) -> Result<(), DiskError> {
        linux::fs::create_dir_all(&self.base, DIR_MODE)?;
        let base = Root::open(&self.base)?;
        let mut tries = 0;
        loop {
            base.create_dir_all(&self.below, DIR_MODE)?;
            match base.sub_unmounted(&self.below).map_err(NoteError::from).and_then(|dir| {
                note.write(&dir)?;
                Ok(dir)
            }) {
                Ok(dir) if with_child => return Ok(dir.create_dir_all(&self.child, DIR_MODE).map(drop)?),
                Ok(_) => return Ok(()),
                // Without its note it looked like one that a crash had left, and was removed as such.
                Err(error) if error.is_not_found() && tries < TRIES => tries += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Removes a directory that has no note and on which nothing is mounted, if it is empty. Whether it did.
    fn forget_empty(&self) -> Result<bool, DiskError> {
        let Some(dir) = self.open()? else { return Ok(false) };
        let path = dir.path().to_owned();
        Note::remove_half(&dir).map_err(PathError::on("remove the note in", &path))?;
        match std::fs::remove_dir(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(PathError::on("remove the directory", &path)(error).into()),
        }
    }

    /// Removes the child if it is an empty directory, the note, and the directory. Each of them may be gone already.
    fn forget(&self, mounts: &MountTable) -> Result<(), DiskError> {
        let Some(dir) = self.open()? else { return Ok(()) };
        let path = self.real_child(&dir)?;
        if mounts.is_mount_point(&path) {
            return Err(DiskError::StillMounted { path });
        }
        remove_dir(&dir, &self.child)?;
        Note::remove(&dir).map_err(PathError::on("remove the note in", dir.path()))?;
        let (Some(parent), Some(name)) = (self.below.parent(), self.below.file_name()) else { return Ok(()) };
        match open(&self.base, parent)? {
            Some(parent) => remove_dir(&parent, Path::new(name)),
            None => Ok(()),
        }
    }
}

/// Opens the directory `below` in `base`; `None` if it is not there. What is in it is berth's: nothing is mounted on the
/// way.
pub(crate) fn open(base: &Path, below: &Path) -> Result<Option<Root>, DiskError> {
    let opened = Root::open(base).and_then(|base| base.sub_unmounted(below));
    match opened {
        Err(error) if error.is_not_found() => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

/// Removes the empty directory `name` in `dir`. The kernel refuses what is mounted on or not empty.
fn remove_dir(dir: &Root, name: &Path) -> Result<(), DiskError> {
    match std::fs::remove_dir(beneath::fd_path(dir).join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            Err(DiskError::StillMounted { path: dir.path().join(name) })
        }
        removed => Ok(removed
            .map_err(PathError::on("remove the directory (it must be empty)", &dir.path().join(name)))?),
    }
}

/// What is there where a volume is staged. Anything that is another volume's is an error.
pub(crate) fn look_staged(layout: &Layout, site: &Site, mounts: &MountTable) -> Result<Shown, DiskError> {
    if let Some(pv) = &site.device {
        return devices::look_staged(layout, site, pv, mounts);
    }
    let volume = &site.volume;
    let spot = Spot::staged(layout, volume)?;
    match spot.look(mounts)? {
        Seen { whose: Whose::Of(other), .. } if other != *volume => {
            Err(DiskError::Another { path: layout.staging_dir(volume), other })
        }
        seen => Ok(seen.shown),
    }
}

/// With which SELinux label `volume` is staged, or was to be; none if its note does not say, or there is none.
pub(crate) fn staged_label(layout: &Layout, volume: &VolumeId) -> Result<Option<String>, DiskError> {
    let Some(dir) = Spot::staged(layout, volume)?.open()? else { return Ok(None) };
    Ok(Note::read(&dir)?.and_then(Note::into_label))
}

/// With which SELinux label the volume is mounted that the pod calls `name`.
pub(crate) fn label(layout: &Layout, pod: &PodUid, name: &str) -> Result<Option<String>, DiskError> {
    let Some((target, _)) = called(layout, pod, name)? else { return Ok(None) };
    if target.mode == VolumeMode::Block {
        return Ok(None);
    }
    let Some(dir) = Spot::published(layout, &target)?.open()? else { return Ok(None) };
    Ok(Note::read(&dir)?.and_then(Note::into_label))
}

/// What is there at `target`, and whose it is.
pub(crate) fn look_published(
    layout: &Layout,
    target: &Target,
    mounts: &MountTable,
) -> Result<Seen, DiskError> {
    let mut seen = match target.mode {
        VolumeMode::Filesystem => Spot::published(layout, target)?.look(mounts)?,
        VolumeMode::Block => devices::look_published(layout, target, mounts)?,
    };
    let mark = layout.ready_mark(&target.pod, &target.spec_name)?;
    seen.shown.mark = linux::fs::lstat(&mark)?.is_some_and(|meta| meta.is_file());
    Ok(seen)
}

/// Makes the directory in which a volume is staged, with its note.
pub(crate) fn prepare_staging(layout: &Layout, site: &Site, note: &Note) -> Result<(), DiskError> {
    match &site.device {
        None => Spot::staged(layout, note.volume())?.prepare(note, true),
        Some(pv) => devices::prepare_staging(layout, pv, note),
    }
}

/// Makes the directory in which the driver makes `target`, with its note.
pub(crate) fn prepare_target(layout: &Layout, target: &Target, note: &Note) -> Result<(), DiskError> {
    if target.mode == VolumeMode::Block {
        return devices::prepare_target(layout, target, note);
    }
    PodPaths::new(layout.root_dir(), &target.pod)?.create()?;
    Spot::published(layout, target)?.prepare(note, false)
}

/// Removes the directory in which a volume was staged.
pub(crate) fn forget_staging(layout: &Layout, site: &Site) -> Result<(), DiskError> {
    let mounts = MountTable::read()?;
    match &site.device {
        None => Spot::staged(layout, &site.volume)?.forget(&mounts),
        Some(pv) => devices::forget_staging(layout, pv, &mounts),
    }
}

/// Removes the directory in which `target` was.
pub(crate) fn forget_target(layout: &Layout, target: &Target) -> Result<(), DiskError> {
    let mounts = MountTable::read()?;
    match target.mode {
        VolumeMode::Filesystem => Spot::published(layout, target)?.forget(&mounts),
        VolumeMode::Block => devices::forget_target(layout, target, &mounts),
    }
}

/// Marks `target` as made whole. The mark says how the pod calls the volume, so that a restart of berth finds it without
/// asking anybody.
pub(crate) fn mark(layout: &Layout, target: &Target, name: &str, gid: Option<i64>) -> Result<(), DiskError> {
    PodPaths::new(layout.root_dir(), &target.pod)?;
    let pods = Root::open(&layout.pods_dir())?;
    let below = marks(&target.pod).join(&target.spec_name);
    pods.create_dir_all(&below, DIR_MODE)?;
    let dir = pods.sub_unmounted(&below)?;
    let write = |file: &str, text: &str| {
        let written =
            task::file::write_atomic(&beneath::fd_path(&dir).join(file), text.as_bytes(), MARK_MODE);
        written.map_err(PathError::on("write", &dir.path().join(file)))
    };
    if let Some(gid) = gid {
        write(GID, &gid.to_string())?;
    }
    Ok(write(MARK, name)?)
}

/// The groups that all processes of the pod are in because of what is marked as made whole for it.
pub(crate) fn groups(layout: &Layout, pod: &PodUid) -> Result<BTreeSet<i64>, DiskError> {
    let mut all = BTreeSet::new();
    for target in targets_of(layout, pod)? {
        let Some(dir) = open(&layout.pods_dir(), &marks(pod).join(&target.spec_name))? else { continue };
        match dir.read(Path::new(GID), Links::Refuse, MARK_LIMIT) {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            read => all.extend(read.ok().and_then(|text| String::from_utf8(text).ok()?.parse::<i64>().ok())),
        }
    }
    Ok(all)
}

/// The target of the pod that was marked as made whole under the name `name`, and whose it is. It need not be there any
/// more, as after the machine was booted.
pub(crate) fn called(
    layout: &Layout,
    pod: &PodUid,
    name: &str,
) -> Result<Option<(Target, VolumeId)>, DiskError> {
    for target in targets_of(layout, pod)? {
        if !is_marked_as(layout, &target, name)? {
            continue;
        }
        let seen = look_published(layout, &target, &MountTable::default())?;
        if let Whose::Of(volume) = seen.whose {
            return Ok(Some((target, volume)));
        }
    }
    Ok(None)
}

fn is_marked_as(layout: &Layout, target: &Target, name: &str) -> Result<bool, DiskError> {
    let below = marks(&target.pod).join(&target.spec_name);
    let Some(dir) = open(&layout.pods_dir(), &below)? else { return Ok(false) };
    match dir.read(Path::new(MARK), Links::Refuse, MARK_LIMIT) {
        Err(error) if !error.is_not_found() => Err(error.into()),
        read => Ok(read.is_ok_and(|text| text == name.as_bytes())),
    }
}

/// The target of the pod that was marked as made whole under the name `name`, if it is still whole.
pub(crate) fn marked(layout: &Layout, pod: &PodUid, name: &str) -> Result<Option<Target>, DiskError> {
    for target in targets_of(layout, pod)? {
        if !is_marked_as(layout, &target, name)? {
            continue;
        }
        let shown = look_published(layout, &target, &MountTable::read()?)?.shown;
        if Place::of(shown, Known::Unknown) == Place::Ready {
            return Ok(Some(target));
        }
    }
    Ok(None)
}

/// Makes `target` ready to be taken away: it is whole no more, and nobody on the node holds it.
pub(crate) fn let_go(layout: &Layout, target: &Target) -> Result<(), DiskError> {
    unmark(layout, target)?;
    match target.mode {
        VolumeMode::Filesystem => Ok(()),
        VolumeMode::Block => devices::let_go(layout, target),
    }
}

/// Takes the mark of `target` away. It may be gone already.
pub(crate) fn unmark(layout: &Layout, target: &Target) -> Result<(), DiskError> {
    PodPaths::new(layout.root_dir(), &target.pod)?;
    let Some(dir) = open(&layout.pods_dir(), &marks(&target.pod))? else { return Ok(()) };
    Ok(dir.remove_tree(Path::new(&target.spec_name))?)
}

/// The directory of the pod's marks, below that of all pods.
fn marks(pod: &PodUid) -> PathBuf {
    Path::new(pod.as_str()).join("plugins").join(PLUGIN)
}

/// The names in a directory that can be names of directories; none if it is not there.
pub(crate) fn names(base: &Path, below: &Path) -> Result<Vec<String>, DiskError> {
    let Some(dir) = open(base, below)? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in
        std::fs::read_dir(beneath::fd_path(&dir)).map_err(PathError::on("list", &base.join(below)))?
    {
        let entry = entry.map_err(PathError::on("list", &base.join(below)))?;
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        names.extend(entry.file_name().into_string().ok().filter(|name| is_dir && is_name(name)));
    }
    names.sort_unstable();
    Ok(names)
}

/// All that is or may be published to the pod.
pub(crate) fn targets_of(layout: &Layout, pod: &PodUid) -> Result<Vec<Target>, DiskError> {
    PodPaths::new(layout.root_dir(), pod)?;
    let all = names(&layout.pods_dir(), &Path::new(pod.as_str()).join("volumes").join(PLUGIN))?;
    let target = |spec_name| Target { pod: pod.clone(), mode: VolumeMode::Filesystem, spec_name };
    Ok(all.into_iter().map(target).chain(devices::targets_of(layout, pod)?).collect())
}

/// All that is or may be published to any pod.
pub(crate) fn targets(layout: &Layout) -> Result<Vec<Target>, DiskError> {
    let mut all = Vec::new();
    for pod in names(&layout.pods_dir(), Path::new("."))? {
        match targets_of(layout, &PodUid::from(pod)) {
            Ok(targets) => all.extend(targets),
            // Somebody put something else where the pod's directory was. Nothing is made there, and the volumes of other
            // pods are not held up by it. What is mounted there hides what may be in use: that does hold them up.
            Err(DiskError::Beneath(error))
                if matches!(error, BeneathError::Link { .. }) || error.is_not_a_directory() =>
            {
                tracing::debug!(error = %telemetry::chain(&error), "The directory of a pod is not what berth made");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// The volumes that are or may be staged, by their notes. What has no note, or lies elsewhere than berth would have it,
/// is not among them. Empty directories that a crash left, before their note was written or after it was removed, go: no
/// driver knows of them.
pub(crate) fn staged(layout: &Layout, mounts: &MountTable) -> Result<Vec<Site>, DiskError> {
    let root = layout.staging_root();
    let mut all = devices::staged(layout)?;
    for driver in names(&root, Path::new("."))?.into_iter().filter(|driver| driver != DEVICES) {
        for dir in names(&root, Path::new(&driver))? {
            let path = root.join(&driver).join(&dir);
            let spot = Spot::at(layout.root_dir().join("plugins"), &path, staged_in);
            match spot.look(mounts)? {
                Seen { whose: Whose::Of(volume), .. } if layout.staging_dir(&volume) == path => {
                    all.push(Site { volume, device: None });
                }
                Seen { whose: Whose::Nobody, shown }
                    if !shown.mounted && is_hash(&dir) && spot.forget_empty()? => {}
                _ => tracing::debug!(path = %path.display(), "not a volume that berth staged: left alone"),
            }
        }
    }
    Ok(all)
}
