//! Showing a volume to a pod.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use linux::PathError;
use linux::beneath::{Links, fd_path};
use linux::mount;
use linux::mountinfo::MountTable;
use tokio::sync::oneshot;
use types::event::Event;
use volume::claim::VolumeMode;
use volume::{giving, ownership, selinux};

use super::{Turns, Volumes, keys};
use crate::disk::{self, Above, Note};
use crate::error::VolumeError;
use crate::flexvolume::Capabilities;
use crate::format::{self, Content, Preparation};
use crate::layout::{Device, Layout};
use crate::local::Form;
use crate::plan::{self, DeviceShown, Step, TargetShown};
use crate::run::{CommandError, Key};
use crate::wanted::{Kind, Wanted};
use crate::{options, refs};

/// As much of a disk has to be readable before it counts as empty, in bytes.
const READABLE: u64 = 1 << 20;

/// What is there of a volume that a pod is to have.
struct Look {
    target: TargetShown,
    device: Option<DeviceShown>,
    /// The device that it is on.
    on: Option<Device>,
    /// Where it is, as the mount table has it.
    point: Option<PathBuf>,
    /// What still runs for it.
    running: Option<String>,
    /// The SELinux label of the device, if that is mounted with another one than is wanted, or with none.
    other_label: Option<String>,
}

/// What is known before anything is looked at, and what was done.
struct Progress {
    done: Vec<Step>,
    /// What the driver can do, if a driver mounts it.
    driver: Option<Capabilities>,
    /// Whether another kubelet has made the volume, and it is whole as that would have it: a pod may be at work in it.
    is_taken_over: bool,
    /// Whether the pod gets the disk itself.
    is_device: bool,
    /// Where that is.
    disk: Option<PathBuf>,
}

impl Progress {
    /// Whether the step was done, and what came of it need not be a mount.
    fn is_done(&self, step: Step) -> bool {
        (self.driver.is_some() || self.is_device) && self.done.contains(&step)
    }
}

impl Volumes {
    /// Does one step after the other until the volume is whole.
    pub(super) async fn show(&self, wanted: &Wanted, mut turns: Turns) -> Result<(), VolumeError> {
        let driver = match &wanted.kind {
            Kind::Flex(flex) => Some(self.capabilities(&wanted.target, flex).await?),
            _ => None,
        };
        let is_device = wanted.target.mode == VolumeMode::Block;
        let mut progress = Progress { done: Vec::new(), driver, is_taken_over: false, is_device, disk: None };
        loop {
            let look;
            (look, turns) = self.look(wanted, &progress, turns).await?;
            let Some(step) = plan::show(look.target, look.device) else { return Ok(()) };
            // What is mounted with another label is of no use to this pod.
            let (step, on) = match (&look.other_label, &look.on) {
                (Some(found), Some(_)) if look.device.is_some_and(|device| device.used) => {
                    let (volume, wanted) = (wanted.target.to_string(), wanted.label.clone());
                    return Err(VolumeError::Label {
                        volume,
                        found: found.clone(),
                        wanted: wanted.unwrap_or_default(),
                    });
                }
                (Some(_), Some(on)) if step != Step::Await => (Step::UnmountDevice, Some(on.clone())),
                _ => (step, None),
            };
            if progress.done.contains(&step) {
                return Err(VolumeError::NoEffect { step, target: wanted.target.to_string() });
            }
            if let Some(on) = on {
                progress.done.push(step);
                turns = self.unmount_device(&on, turns).await?;
                continue;
            }
            progress.is_taken_over |= step == Step::Note && look.target.mounted;
            progress.done.push(step);
            tracing::debug!(volume = %wanted.target, ?step, "A step of a mounted volume");
            turns = self.do_step(wanted, step, look, &mut progress, turns).await?;
        }
    }

    async fn look(
        &self,
        wanted: &Wanted,
        progress: &Progress,
        turns: Turns,
    ) -> Result<(Look, Turns), VolumeError> {
        let has_device = progress.driver.is_none_or(|driver| driver.attach);
        let is_mounted = progress.is_done(Step::Mount);
        let is_device_mounted = progress.is_done(Step::MountDevice);
        let is_device = progress.is_device;
        // What was mounted just now has the label that was asked for, in whatever words the kernel repeats it.
        let may_differ = wanted.is_labelled() && !is_device && !progress.done.contains(&Step::MountDevice);
        let (layout, commands, of) = (self.config.layout.clone(), self.commands.clone(), wanted.clone());
        self.blocking("look at volume", &wanted.target, turns, move || {
            let its_device = of.device().filter(|_| has_device);
            let [of_target, by_force] = keys(&layout, &of.target)?.map(Some);
            let of_device = its_device.as_ref().map(|device| Key::of(&layout.device(device)));
            let ([runs, unmounts, at_device], mounts) = commands.look([of_target, by_force, of_device])?;
            let mut running = runs.or(unmounts);
            let seen = disk::look_target(&layout, &of.target, &mounts)?;
            let on = match &of.kind {
                Kind::Local(local) if is_device => {
                    if !seen.shown.mounted {
                        local.has_device()?;
                    }
                    its_device
                }
                // What is mounted is not looked for any more: its disk may be away.
                Kind::Local(_) if seen.shown.mounted => disk::device_of(&layout, &of.target, &mounts)?,
                Kind::Local(local) => match local.form()? {
                    Form::Device => its_device,
                    Form::Directory => None,
                },
                _ => its_device,
            };
            let mounted = seen.shown.mounted || is_mounted && seen.shown.directory;
            // A link is made together with the directory that it is in.
            let directory = seen.shown.directory || is_device;
            let target = TargetShown { busy: running.is_some(), mounted, directory, ..seen.shown };
            let (mut device, mut other_label) = (None, None);
            if let Some(on) = &on {
                let shown = disk::look_device(&layout, on, &mounts, Some(&of.target))?;
                let mounted = shown.mounted || is_device_mounted && shown.directory;
                if may_differ && mounted && !target.mounted {
                    let label = disk::label_of_device(&layout, on, &mounts, &of.target)?;
                    other_label = (label != of.label).then(|| label.unwrap_or_default());
                }
                device = Some(DeviceShown { busy: at_device.is_some(), mounted, ..shown });
                running = running.or(at_device);
            }
            Ok(Look { target, device, on, point: seen.point, running, other_label })
        })
        .await
    }

    async fn do_step(
        &self,
        wanted: &Wanted,
        step: Step,
        look: Look,
        progress: &mut Progress,
        turns: Turns,
    ) -> Result<Turns, VolumeError> {
        let (layout, of) = (self.config.layout.clone(), wanted.clone());
        let about = &wanted.target;
        match (step, look.on) {
            (Step::Note, on) => {
                let (unique_name, label) = (wanted.unique_name.clone(), wanted.label.clone());
                let note = Note { device: on, unique_name, label };
                let noted = move || Ok(disk::note(&layout, &of.target, &note)?);
                Ok(self.blocking("note volume", about, turns, noted).await?.1)
            }
            (Step::Unmark, _) => {
                let unmarked = move || Ok(disk::unmark(&layout, &of.target)?);
                Ok(self.blocking("remove mark", about, turns, unmarked).await?.1)
            }
            (Step::MakeDevice, Some(on)) => {
                let made = move || Ok(disk::make_device(&layout, &on)?);
                Ok(self.blocking("make directory", about, turns, made).await?.1)
            }
            (Step::MakeTarget, _) => {
                let made = move || Ok(disk::make_target(&layout, &of.target)?);
                Ok(self.blocking("make directory", about, turns, made).await?.1)
            }
            (Step::MountDevice, Some(on)) if progress.is_device => {
                let (disk, turns) = self.attach(wanted, &on, turns).await?;
                progress.disk = Some(disk);
                Ok(turns)
            }
            (Step::Mount, Some(_)) if progress.is_device => {
                let Some(disk) = progress.disk.take() else { return Ok(turns) };
                let linked = move || Ok(disk::devices::link(&layout, &of.target, &disk)?);
                Ok(self.blocking("link device", about, turns, linked).await?.1)
            }
            (Step::Finish, _) if progress.is_device => {
                let marked = move || Ok(disk::devices::mark(&layout, &of.target, &of.name)?);
                Ok(self.blocking("finish volume", about, turns, marked).await?.1)
            }
            (Step::MountDevice, Some(on)) => self.mount_device(wanted, &on, turns).await,
            (Step::Mount, on) => match (&wanted.kind, look.point) {
                (Kind::Nfs(nfs), Some(point)) => {
                    let command = nfs.mount(&point, &wanted.mount_options, wanted.read_only);
                    self.mount_by_command(wanted, &command, point, turns).await
                }
                (Kind::Flex(flex), Some(point)) => {
                    self.mount_by_driver(wanted, flex, on.as_ref(), point, turns).await
                }
                _ => {
                    let bound = move || bind(&layout, &of, on.as_ref());
                    Ok(self.blocking("mount volume", about, turns, bound).await?.1)
                }
            },
            (Step::Finish, on) => {
                let (driver, is_taken_over) = (progress.driver, progress.is_taken_over);
                let (counted, (busy, ended)) = (ownership::Progress::default(), oneshot::channel());
                if wanted.group.is_some() && !is_taken_over {
                    // Not even one who waits no longer ends that: the thread goes on.
                    let (recorder, pod) = (self.config.recorder.clone(), wanted.pod.clone());
                    let path = layout.target(&wanted.target)?;
                    tokio::spawn(giving::tell(recorder, pod, path, counted.clone(), ended));
                }
                let finish = move || {
                    let _busy = busy;
                    if is_taken_over {
                        disk::mark(&layout, &of.target, &of.name)?;
                        return Ok(None);
                    }
                    finish(&layout, &of, on.as_ref(), driver, &counted)
                };
                let (told, turns) = self.blocking("finish volume", about, turns, finish).await?;
                if let Some(message) = told {
                    let reason = types::reason::event::ALREADY_MOUNTED_VOLUME;
                    self.config.recorder.record(Event::warning(&wanted.pod, reason, message));
                }
                Ok(turns)
            }
            (Step::Await, _) => Err(CommandError::StillRuns(look.running.unwrap_or_default()).into()),
            // The others are not done to show a volume.
            _ => Ok(turns),
        }
    }

    async fn mount_by_command(
        &self,
        wanted: &Wanted,
        command: &crate::command::Command,
        point: PathBuf,
        turns: Turns,
    ) -> Result<Turns, VolumeError> {
        let [key, _] = keys(&self.config.layout, &wanted.target)?;
        let Err(error) = self.commands.run(&key, command, self.config.deadline).await else {
            return Ok(turns);
        };
        if matches!(error, CommandError::Failed { .. }) {
            // What it says it could not do, it must not have half done.
            let undo = move || {
                if MountTable::read()?.is_mount_point(&point) {
                    mount::unmount(&point)?;
                }
                Ok(())
            };
            self.blocking("unmount volume", &wanted.target, turns, undo).await?;
        }
        Err(error.into())
    }

    /// Attaches the disk of a volume, if it has to be, and returns where it is.
    async fn attach(
        &self,
        wanted: &Wanted,
        on: &Device,
        turns: Turns,
    ) -> Result<(PathBuf, Turns), VolumeError> {
        match &wanted.kind {
            Kind::Local(local) => Ok((local.source(), turns)),
            Kind::Iscsi(disk) => self.attach_iscsi(disk, on, turns).await,
            Kind::Fc(disk) => self.attach_fc(disk, on, turns).await,
            Kind::Nfs(_) | Kind::Flex(_) => {
                Err(VolumeError::NoEffect { step: Step::MountDevice, target: wanted.target.to_string() })
            }
        }
    }

    /// Mounts the device of a volume, which is made visible before, and formatted if it is empty.
    async fn mount_device(&self, wanted: &Wanted, on: &Device, turns: Turns) -> Result<Turns, VolumeError> {
        let label = wanted.label.as_deref().filter(|_| wanted.is_labelled()).map(selinux::mount_option);
        let ours: Vec<&str> = wanted.read_only.then_some("ro").into_iter().chain(label.as_deref()).collect();
        let fs_type = match &wanted.kind {
            Kind::Local(local) => &local.fs_type,
            Kind::Iscsi(disk) => &disk.fs_type,
            Kind::Fc(disk) => &disk.fs_type,
            Kind::Flex(flex) => return self.mount_device_by_driver(wanted, flex, on, turns).await,
            // It has no device.
            Kind::Nfs(_) => return Ok(turns),
        };
        let (path, turns) = self.attach(wanted, on, turns).await?;
        self.format_and_mount(wanted, on, &path, fs_type, &ours, turns).await
    }

    /// Mounts `disk` for `on`: made anew if it is empty, and checked otherwise.
    pub(super) async fn format_and_mount(
        &self,
        wanted: &Wanted,
        on: &Device,
        disk: &Path,
        fs_type: &str,
        ours: &[&str],
        turns: Turns,
    ) -> Result<Turns, VolumeError> {
        let key = Key::of(&self.config.layout.device(on));
        let deadline = self.config.deadline;
        let fs_type = if fs_type.is_empty() { format::DEFAULT } else { fs_type };
        let options = options::joined(&wanted.mount_options, ours);
        let read_only = options.iter().any(|option| option == "ro");
        let content = match self.commands.run(&key, &format::probe(disk), deadline).await {
            Ok(output) => format::content(&output)?,
            Err(error) if error.status() == Some(format::FOUND_NOTHING) => Content::Nothing,
            Err(error) => return Err(error.into()),
        };
        let mut turns = turns;
        match format::preparation(disk, fs_type, read_only, &content)? {
            Preparation::Make(command) => {
                // What cannot be read looks empty too.
                let read = disk.to_owned();
                let readable = move || {
                    is_readable(&read).map_err(|source| VolumeError::Unreadable { disk: read, source })
                };
                ((), turns) = self.blocking("read disk", &wanted.target, turns, readable).await?;
                tracing::info!(disk = %disk.display(), fs_type, volume = %wanted.target, "A disk is empty and gets a file system");
                self.commands.run(&key, &command, deadline).await?;
            }
            Preparation::Check(command) => match self.commands.run(&key, &command, deadline).await {
                Err(CommandError::Failed { status, output, .. }) if !format::is_fit(status) => {
                    return Err(VolumeError::Errors { disk: disk.to_owned(), output });
                }
                Err(CommandError::Failed { status, .. }) if format::was_corrected(status) => {
                    tracing::info!(disk = %disk.display(), "A disk had errors, which fsck has corrected");
                }
                Err(error @ (CommandError::Failed { .. } | CommandError::NotFound { .. })) => {
                    tracing::warn!(error = %telemetry::chain(&error), "A disk is mounted unchecked");
                }
                checked => {
                    checked?;
                }
            },
            Preparation::None => {}
        }
        let (point, turns) = self.point_of(on, turns).await?;
        // Gone meanwhile: it is made again in the next round.
        let Some(point) = point else { return Ok(turns) };
        let mounted =
            self.commands.run(&key, &format::mount(disk, &point, fs_type, &options), deadline).await;
        match (mounted, content) {
            (Err(source @ CommandError::Failed { .. }), Content::FileSystem(found)) if found != fs_type => {
                let (disk, wanted) = (disk.to_owned(), fs_type.to_owned());
                Err(VolumeError::Mismatch { disk, wanted, found, source: Box::new(source) })
            }
            (Err(error), _) => Err(error.into()),
            (Ok(_), _) => Ok(turns),
        }
    }
}

fn is_readable(disk: &Path) -> std::io::Result<()> {
    let mut start = Vec::new();
    std::fs::File::open(disk)?.take(READABLE).read_to_end(&mut start)?;
    if start.is_empty() {
        return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "it has no size"));
    }
    Ok(())
}

/// Shows the volume's directory, or the root of its device, to the pod.
pub(super) fn bind(layout: &Layout, wanted: &Wanted, on: Option<&Device>) -> Result<(), VolumeError> {
    let missing = || VolumeError::NoEffect { step: Step::MakeTarget, target: wanted.target.to_string() };
    let above = Above::target(layout, &wanted.target)?.ok_or_else(missing)?;
    // Nothing is mounted there yet, so that it may be opened.
    let target = above.dir.open_path(&above.name, Links::Refuse)?;
    let bound = match (&wanted.kind, on) {
        (_, Some(on)) => {
            let device = Above::device(layout, on)?.ok_or_else(missing)?;
            mount::bind(&device.path(), &fd_path(&target))
        }
        (Kind::Local(local), None) => mount::bind(&local.source(), &fd_path(&target)),
        _ => return Err(missing()),
    };
    Ok(bound.map_err(|error| mount::MountError { path: above.point, ..error })?)
}

/// Sets what is only set on what is mounted: flags, and the group of the files. Returns what the pod is to be told.
fn finish(
    layout: &Layout,
    wanted: &Wanted,
    on: Option<&Device>,
    driver: Option<Capabilities>,
    counted: &ownership::Progress,
) -> Result<Option<String>, VolumeError> {
    let Some(above) = Above::target(layout, &wanted.target)? else { return Ok(None) };
    let mut told = None;
    if !matches!(wanted.kind, Kind::Nfs(_)) {
        let flags = options::flags(&wanted.mount_options, wanted.read_only);
        // How a driver mounts is its own.
        if !flags.is_empty() && driver.is_none() {
            mount::remount(&above.path(), &flags)?;
        }
        let gives = !wanted.read_only && driver.is_none_or(|driver| driver.fs_group);
        if let Some(group) = wanted.group.filter(|_| gives) {
            let failed = |source| VolumeError::Ownership { group: group.id, source };
            match conflict(layout, wanted, on, &above, group.id)? {
                Shared::Alone => {
                    ownership::give_counting(&above.path(), group.id, false, group.policy, counted)
                        .map_err(failed)?;
                }
                Shared::SameGroup => {}
                Shared::With(gid) => {
                    told = Some(format!(
                        "The requested fsGroup is {}, but the volume {} has GID {gid}. The volume may not be shareable.",
                        group.id, wanted.target.spec_name
                    ));
                }
            }
        }
    }
    disk::mark(layout, &wanted.target, &wanted.name)?;
    Ok(told)
}

/// With whom a pod shares the files of a local volume.
enum Shared {
    /// With nobody.
    Alone,
    /// With pods of the same group.
    SameGroup,
    /// With pods of the group of this id.
    With(u32),
}

/// A local volume is given to the group of the first pod that has it.
fn conflict(
    layout: &Layout,
    wanted: &Wanted,
    on: Option<&Device>,
    above: &Above,
    group: u32,
) -> Result<Shared, VolumeError> {
    let Kind::Local(local) = &wanted.kind else { return Ok(Shared::Alone) };
    let mounts = MountTable::read()?;
    let source = match on {
        Some(on) => Above::device(layout, on)?.map(|above| above.point),
        None => std::fs::canonicalize(local.source()).ok(),
    };
    let Some(source) = source else { return Ok(Shared::Alone) };
    let pods = disk::real_pods_dir(layout)?;
    let others = refs::of_directory(&mounts, &source);
    if !others.iter().any(|mount| mount.point.starts_with(&pods) && mount.point != above.point) {
        return Ok(Shared::Alone);
    }
    let meta = std::fs::metadata(&source).map_err(PathError::on("stat", &source))?;
    Ok(if meta.gid() == group { Shared::SameGroup } else { Shared::With(meta.gid()) })
}
